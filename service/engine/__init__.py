"""The heart: what a request may spend, whose turn it is, and the one loop that runs it."""
