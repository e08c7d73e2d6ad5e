"""Hooks for tests inside the running code."""
