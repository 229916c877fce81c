"""TSM (Lin et al., ICCV 2019) and, without its shift, TSN: an image network on every frame, their logits averaged.

One step at a fixed price: what others trained so is served as it is.
"""
