"""Stores every job as a row: one interface, with implementations in Redis and in memory."""
