"""Recognises. Knows no HTTP, video file, redis or thread."""
