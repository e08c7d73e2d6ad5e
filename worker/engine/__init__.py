"""What moves a job: the dispatcher claims due rows, and one step after another advances them."""
