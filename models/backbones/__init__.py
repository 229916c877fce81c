"""Image networks that turn frames into feature maps; stride 32, torchvision's key layout.

Know no video beyond "these images are consecutive frames of one clip" (temporal shift), and no classifier.
"""
