"""HTTP clients, retries inside a call, and which addresses are public."""
