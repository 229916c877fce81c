"""One camera: its packets to pictures on a time grid."""
