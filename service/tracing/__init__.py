"""Where a piece of work stands in a trace, and who is told of it."""
