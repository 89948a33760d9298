"""How answers are normalised before they are compared, as SQuAD's evaluation does.

Source: Rajpurkar et al. 2016, arXiv 1606.05250 (its evaluation script).
"""

from __future__ import annotations

import re
import string

ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, words parted by one blank."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())
