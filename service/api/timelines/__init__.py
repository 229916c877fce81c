"""`POST /v1/timelines`."""
