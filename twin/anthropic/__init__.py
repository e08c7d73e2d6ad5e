"""The imitation of Anthropic: messages with pictures, JSON of a schema, and tools."""
