"""HTTP clients, and which addresses are public."""
