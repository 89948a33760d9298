"""Rprec: precision at rank R, where R is the number of the query's relevant documents. Computed by trec_eval."""

NAME = "Rprec"
CUTOFF = "none"
PARAMETERS = ("rel", "judged_only")
LAWS = ("perfect is 1",)
