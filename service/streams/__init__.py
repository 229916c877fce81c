"""Subscriptions to cameras: windows over a live source, results as events. Knows no HTTP."""
