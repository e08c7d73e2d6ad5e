"""Settings and the catalogue of models: what an operator may change without touching code. Imports nothing of ours."""
