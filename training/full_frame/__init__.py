"""Full-frame baselines with the backbones of an AdaFocusV3, to compare with."""
