"""TimeSformer (Bertasius, Wang, Torresani, ICML 2021): a ViT over frames, with five ways to attend across space and time.

Whole paper, three variants, the published weights: docs/decisions/0030-timesformer.md.
"""
