"""The demo: it sends a few jobs, follows them, and checks their files."""
