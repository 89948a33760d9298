"""RR@k: 1 / rank of the first relevant document, 0 if none is among the first k. Its mean over queries is MRR@k.

Without a cut-off it would be trec_eval's recip_rank, which differs from every RR@k; so one is needed.
Computed by ir_measures.
"""

NAME = "RR"
SYNONYMS = ("mrr",)
CUTOFF = "needed"
PARAMETERS = ("rel",)
LAWS = ("perfect is 1",)
