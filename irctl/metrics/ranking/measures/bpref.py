"""Bpref: how seldom judged irrelevant documents stand above relevant ones; documents nobody judged do not count.

For each relevant document 1 - (irrelevant judged documents above it, at most R) / min(R, irrelevant judged), averaged
over all R relevant ones. A negative grade is "not judged". Computed by trec_eval.
Source: Buckley and Voorhees 2004, SIGIR, with trec_eval's divisor.
"""

NAME = "Bpref"
CUTOFF = "none"
PARAMETERS = ("rel",)
READS = ("negative_grades",)
LAWS = ("perfect is 1", "unjudged documents do not count")
