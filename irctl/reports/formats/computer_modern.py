"""How wide text is in Computer Modern, LaTeX's own face: advance widths of its metrics files, for tables that must fit.

Widths are those of cmr10; other sizes are drawn wider for their height, by the factor here, the largest of their
letters and digits. What is not in the tables counts as wide as its height: an estimate is never too small by a letter.
"""

from __future__ import annotations

# Thousandths of the font's size -> characters, of cmr10.tfm; of signs that stand in formulas, of cmsy10 and cmmi10.
_CHARACTERS = {
    278: "!',.:;[]`il|", 306: "fj_", 333: "- ", 361: "I", 389: "()t", 392: "r", 394: "s", 444: "cez", 460: "†",
    472: "?", 500: '"$*/0123456789\\^ago{}~–', 514: "J", 528: "kqvxy", 556: "Sbdhnpu", 611: "Z", 625: "L", 653: "F",
    681: "EP", 708: "B", 722: "CTw", 736: "R", 750: "AHNUVXY", 764: "D", 778: "&+<=>@KOQ±×−≤≥", 785: "G",
    833: "#%m", 917: "M", 1028: "W",
}  # fmt: skip
WIDTHS = {c: thousandths for thousandths, characters in _CHARACTERS.items() for c in characters}
_UNKNOWN = 1000

FACTORS = {10: 1.0, 9: 1.029, 8: 1.063, 7: 1.165, 6: 1.267, 5: 1.451}
"""Points of a font -> how much wider it is than cmr10 at that size."""
BOLD = {10: 1.151, 9: 1.185, 8: 1.226, 7: 1.295}
"""The same of the digits of the bold fonts, over cmr10."""
RAISED = {10: 7, 9: 6, 8: 6, 7: 5}
"""Points of a text -> points of a superscript in it."""
_SCRIPT_SPACE = 0.5


def width_of(text: str, points: int, *, bold: bool = False) -> float:
    """Points that a text takes; bold: of numbers."""
    factor = (BOLD if bold else FACTORS)[points]
    return sum(WIDTHS.get(c, _UNKNOWN) for c in text) * factor * points / 1000


def width_raised(text: str, points: int) -> float:
    """Points of a superscript beside a text of so many points; 0 for none."""
    return width_of(text, RAISED[points]) + _SCRIPT_SPACE if text else 0.0
