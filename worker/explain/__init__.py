"""A row in words: what has happened to it, and what happens next. Pure."""
