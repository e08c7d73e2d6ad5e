"""The small web process: files, health, and the door for the providers' webhooks."""
