"""SVG of a figure as a part of an HTML page: ids of its own, and no address of anywhere."""

from __future__ import annotations

import re

_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_NAMESPACE = re.compile(r'\s+xmlns(:\w+)?="[^"]*"')  # HTML knows them
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def inline(svg: str, prefix: str) -> str:
    """The <svg> element, every id in it and every reference to one with a prefix before it."""
    text = _COMMENT.sub("", _METADATA.sub("", svg[svg.index("<svg") :]))
    text = _NAMESPACE.sub("", text)
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'href="#', f'href="#{prefix}', text)
    return re.sub(r"url\(#", f"url(#{prefix}", text).strip()
