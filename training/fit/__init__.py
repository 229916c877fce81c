"""A plan to trained weights."""
