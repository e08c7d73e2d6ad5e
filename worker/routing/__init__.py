"""Which route serves a job, and what an error leads to. Pure."""
