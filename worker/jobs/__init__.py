"""The values of a job: what may be asked, how far it is, what the outside sees of it."""
