"""What may be asked: one module per queue, each a request model and a task function for every job."""
