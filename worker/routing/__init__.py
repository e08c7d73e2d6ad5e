"""Which route serves a job, and what follows an error. Pure."""
