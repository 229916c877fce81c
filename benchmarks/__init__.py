"""Measured claims: each module prints a card and writes one JSON file; `make bench` runs them all."""
