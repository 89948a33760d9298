r"""Text in LaTeX: what it reads as its own escaped, signs as formulas of its own fonts, long words that may break."""

from __future__ import annotations

import re

ESCAPES = {
    "\\": r"\textbackslash{}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", "{": r"\{", "}": r"\}", "<": "$<$", ">": "$>$", "|": "$|$", "±": r"$\pm$",
    "×": r"$\times$", "−": "$-$", "†": r"$\dagger$", "≤": r"$\leq$", "≥": r"$\geq$", "·": r"$\cdot$", "→": r"$\to$",
    "–": "--", "—": "---", "…": r"\ldots{}", "α": r"$\alpha$", "β": r"$\beta$", "λ": r"$\lambda$", "σ": r"$\sigma$",
}  # fmt: skip
# \textdagger would be of a font that many installations have as a bitmap (Type 3), which publishers refuse.

UNBROKEN = 30
"""Characters in a row that no line has to hold whole."""
_POWER = re.compile(r"(\d(?:\.\d+)?)e([+-])0*(\d+)")
_MINUS = re.compile(r"(?<![\w.])-(?=\.?\d)")


def escape(text: str) -> str:
    """Text with every character that LaTeX reads as its own replaced, in one pass."""
    return "".join(ESCAPES.get(c, c) for c in text)


def begin_line(text: str) -> str:
    r"""Escaped text that \\ may stand before: a bracket there would be how far the next line is."""
    return f"{{}}{text}" if text.startswith(("[", "*")) else text


def escape_number(text: str) -> str:
    """The text of a cell: a minus that is no hyphen, 1.2e-05 as a power of ten."""
    text, at, parts = _MINUS.sub("−", text), 0, []
    for m in _POWER.finditer(text):
        parts += [escape(text[at : m.start()]), rf"${m[1]}\times 10^{{{m[2].strip('+')}{m[3]}}}$"]
        at = m.end()
    return "".join([*parts, escape(text[at:])])


def spell(text: str) -> str:
    """The characters that a cell shows, an exponent as if it were no superscript: no narrower than what is set."""
    return _POWER.sub(r"\1 × 10\2\3", _MINUS.sub("−", text))


def escape_long(text: str) -> str:
    """Escaped text of notes, in which a word of more than UNBROKEN characters may break: after signs, else anywhere."""
    whole = " ".join(r"\allowbreak{}".join(map(escape, _pieces(word))) for word in text.split())
    return whole.replace("--", "-{}-")  # an option, no dash


def _pieces(word: str) -> list[str]:
    if len(word) <= UNBROKEN:
        return [word]
    parts = re.split(r"(?<=[/_=:.@|+,])", word)
    return [part[i : i + UNBROKEN] for part in parts for i in range(0, len(part), UNBROKEN)]


def raise_sign(sign: str, widest: str) -> str:
    """A mark of significance as a superscript, with the room of the longest of its column; empty where none has one."""
    if not widest:
        return ""
    rest = _in_formula(widest[len(sign) :])
    room = rf"\hphantom{{{rest}}}" if rest else ""
    return f"$^{{{_in_formula(sign)}{room}}}$"


def _in_formula(sign: str) -> str:
    return re.sub(r"[^†]+", r"\\mathrm{\g<0>}", sign).replace("†", r"\dagger")
