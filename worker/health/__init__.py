"""The health of every provider, shared by all workers through Redis: circuit breakers, pauses and limits."""
