"""A camera to try Fovea with: `fovea demo-camera CLIP`."""
