"""Every command of `fovea`."""
