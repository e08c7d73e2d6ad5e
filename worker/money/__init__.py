"""What an attempt costs, and the most that it may cost. Pure."""
