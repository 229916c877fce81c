"""`GET /v1/usage`."""
