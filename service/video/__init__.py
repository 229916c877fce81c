"""Bytes to frames. Knows no model."""
