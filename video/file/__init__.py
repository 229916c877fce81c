"""One video file: which of its frames to take, and their pixels."""
