"""For whoever works on Fovea: what is neither part of it nor a test."""
