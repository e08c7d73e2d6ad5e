"""The Celery edge. Celery is imported here, in `worker.app`, `worker.client` and the CLI only; below it is asyncio."""
