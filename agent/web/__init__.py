"""The HTTP side of `agent serve`: health, metrics and webhooks."""
