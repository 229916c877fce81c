"""Serves recognitions over HTTP. Knows no network layer: `models` recognises, this package spools, decodes, schedules, answers."""
