"""nDCG: the gain of each document is its grade, discounted by log2(rank + 1), over that of the best ranking.

Linear gain, as trec_eval has it. Computed by trec_eval.
Source: Järvelin and Kekäläinen 2002, ACM TOIS 20(4).
"""

NAME = "nDCG"
CUTOFF = "optional"
PARAMETERS = ("judged_only",)
LAWS = ("perfect is 1", "grades above the lowest count")
