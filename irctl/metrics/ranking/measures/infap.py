"""infAP: AP where only a sample of a pool was judged: precision at each relevant document is inferred from the sample.

A negative grade means in the pool but not judged; a document without any grade was not in the pool and counts as
irrelevant. Computed by trec_eval.
Source: Yilmaz and Aslam 2006, CIKM, Estimating average precision with incomplete and imperfect judgments.
"""

NAME = "infAP"
CUTOFF = "none"
PARAMETERS = ("rel",)
READS = ("negative_grades",)
LAWS = ("perfect is 1",)
