"""A request body, read as a stream."""
