"""What may be asked: one module or package for each queue, with a request, a result and a function for each task."""
