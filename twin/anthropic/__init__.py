"""Anthropic's wire: messages with pictures, JSON of a schema, and tools."""
