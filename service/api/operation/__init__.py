"""Health, metrics, the log line of each request."""
