"""What tests need inside the running code."""
