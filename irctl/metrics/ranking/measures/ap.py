"""AP: precision at the rank of each relevant document, averaged over all relevant documents; 0 for those not found.

The mean over queries is MAP. Computed by trec_eval.
Source: Voorhees and Harman, TREC: Experiment and Evaluation in Information Retrieval, MIT Press 2005.
"""

NAME = "AP"
SYNONYMS = ("map",)
CUTOFF = "optional"
PARAMETERS = ("rel", "judged_only")
LAWS = ("perfect is 1",)
