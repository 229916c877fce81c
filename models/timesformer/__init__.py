"""TimeSformer (Bertasius, Wang, Torresani, ICML 2021): a ViT that attends across space and time.

Whole paper, three variants, the published weights: docs/decisions/0030-timesformer.md.
"""
