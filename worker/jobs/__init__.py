"""The values of a job: its request, its row, its public status and result."""
