"""What a model is worth: calibration, evaluation, report."""
