"""Tasks that are made of steps: each step is another task."""
