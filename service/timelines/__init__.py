"""Timelines: when what happens in a long video. A file is a camera that can be sought."""
