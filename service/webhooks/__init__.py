"""Tells receivers what happened: signed, with retries, behind an address policy."""
