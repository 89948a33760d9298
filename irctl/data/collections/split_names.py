"""How splits that are measured as one are written: dev+test, or all."""

POOL = "+"
ALL = "all"
