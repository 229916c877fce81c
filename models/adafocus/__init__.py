"""AdaFocusV3 (Wang et al., ECCV 2022): glance at a whole clip, then focus on one space-time cube at a time.

Knows no video file, bundle or request.
"""
