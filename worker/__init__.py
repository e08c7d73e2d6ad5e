"""The worker: accepts jobs from Celery, stores them as rows in Redis, and advances them until they end."""
