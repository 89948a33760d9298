"""R@k: the share of the relevant documents that stand among the first k. Computed by trec_eval."""

NAME = "R"
SYNONYMS = ("recall",)
CUTOFF = "needed"
PARAMETERS = ("rel", "judged_only")
USUAL = 100
LAWS = ()
