"""Changes to a picture. A module for each task, or for tasks that belong together."""
