"""`/v1/streams`."""
