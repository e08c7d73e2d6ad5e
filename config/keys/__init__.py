"""Which providers have a key, where it was found, and what to set for the others."""
