"""The twin: a local server that imitates fal.ai, Google and Anthropic, makes real files, and fails as a script says.

It shares no code with the worker that is tested against it.
"""
