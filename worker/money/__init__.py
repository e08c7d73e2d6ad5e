"""What an attempt costs, or may cost at most. Pure."""
