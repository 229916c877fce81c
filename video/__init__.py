"""Bytes to frames. Knows av and numpy; no model, no HTTP, no state."""
