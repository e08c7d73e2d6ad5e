"""The worker: accepts jobs from Celery, keeps them as rows in Redis, and minds them until they end."""
