"""The gateway, a small web process: it serves files, health and metrics, and receives the providers' webhooks."""
