"""`POST /v1/recognitions`."""
