"""What is taken of other projects' checkpoints, a module for each project; `training.importing` makes bundles of it."""
