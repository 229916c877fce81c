"""Serves recognitions over HTTP: spools, decodes, schedules, answers. Knows no network layer: `models` recognises."""
