"""The local stand-in for fal.ai, Google and Anthropic: speaks their wire, draws real files, and misbehaves on order.

It shares no code with the worker that it is there to try.
"""
