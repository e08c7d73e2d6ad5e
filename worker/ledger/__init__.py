"""Every job as a row: one interface, in Redis and in memory."""
