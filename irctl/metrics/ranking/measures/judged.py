"""Judged@k: the share of the first k documents that have a judgement: how far the other measures can be trusted.

Computed by ir_measures.
"""

NAME = "Judged"
CUTOFF = "needed"
LAWS = ("perfect is 1",)
