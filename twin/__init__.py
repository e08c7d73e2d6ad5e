"""The local stand-in for fal.ai: speaks its wire, draws real files, and misbehaves on order. Shares no code with the worker."""
