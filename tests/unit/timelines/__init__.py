"""Timelines, part by part."""
