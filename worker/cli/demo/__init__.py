"""The demo: a few jobs, followed, and their files checked."""
