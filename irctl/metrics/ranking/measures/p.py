"""P@k: the share of the first k places that hold a relevant document. Computed by trec_eval."""

NAME = "P"
SYNONYMS = ("precision", "prec")
CUTOFF = "needed"
PARAMETERS = ("rel", "judged_only")
LAWS = ()
