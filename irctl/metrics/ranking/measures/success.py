"""Success@k: 1 if a relevant document is among the first k, else 0; also called hit rate. Computed by trec_eval."""

NAME = "Success"
SYNONYMS = ("hit", "hitrate")
CUTOFF = "needed"
PARAMETERS = ("rel", "judged_only")
LAWS = ("perfect is 1",)
