"""Labelled videos to batches."""
