"""Whole worlds in one process, on a virtual clock, with one seed each. `make simulate` runs a few thousand.

A world has workers with their real dispatchers and Celery tasks, the ledger in memory, and models of what is not ours:
Redis, Celery's delivery, fal, providers that answer at once, the gateway, callers. Faults are injected at every call.
The checks are in `promises`. docs/reliability.md says how to read a violation.
"""
