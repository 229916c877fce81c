"""Video Mobile-Former (Wang et al., arXiv 2208.12257): one pass over the whole clip at a price that never varies.

No code of it is public. The layers follow from every count in the paper: docs/decisions/0008-video-mobile-former.md.
"""
