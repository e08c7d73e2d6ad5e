"""The processes that `kilnhand up` starts, and how they are ended."""
