"""The Celery edge: the only place, with `worker.app`, that knows Celery. Below it all is asyncio."""
