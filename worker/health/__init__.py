"""How well providers are, shared by all workers: one interface, in Redis and in memory."""
