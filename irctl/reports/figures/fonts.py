"""Fonts of figures: the one that matplotlib brings along, so that machines draw alike, and others for what it lacks."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONT = "DejaVu Sans"
OTHERS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "Droid Sans Fallback", "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "SimHei", "Yu Gothic", "Malgun Gothic",
    "Noto Sans Devanagari", "Noto Emoji", "Arial Unicode MS", "Unifont",
)  # fmt: skip
"""Those with characters of other scripts that systems bring along; of them, those that are installed are asked."""


@cache
def find_fonts() -> list[str]:
    """Names of the fonts to look a character up in, in this order."""
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    return [FONT, *(name for name in OTHERS if name in installed)]


def find_undrawn(figure: Figure) -> tuple[str, ...]:
    """A line on the characters of a figure that none of the fonts has, if there are any: boxes stand for them."""
    from matplotlib.font_manager import findfont, get_font
    from matplotlib.text import Text

    fonts = [get_font(findfont(name)) for name in find_fonts()]
    texts: list[Any] = figure.findobj(Text)
    written = {c for text in texts for c in text.get_text() if not c.isspace()}
    lacking = sorted(c for c in written if not any(font.get_char_index(ord(c)) for font in fonts))
    if not lacking:
        return ()
    return (f"no font here has {' '.join(lacking)}: boxes stand there; Noto Sans CJK has most scripts",)
