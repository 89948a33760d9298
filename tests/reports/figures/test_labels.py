"""Names in figures: those of the table, shortened where one encoder is behind all, and clear of each other."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
from matplotlib.text import Text
from report_records import record

from irctl.reports.figures import figures, fonts, labels
from irctl.reports.figures.room import length_inside
from irctl.reports.records import Record

BASE = "all-MiniLM-L6-v2"


def systems_at_few_sizes() -> list[Record]:
    """Eighteen systems, most of them at 12, 24 and 48 bytes and within a point of each other."""
    values = [(12, 42.1, 47.0), (24, 46.2, 47.3), (48, 47.6, 48.2)]
    shown = [(f"opq bits=4 m={2 * b}", b, v, "opq") for b, v, _ in values]
    shown += [(f"jpq distill bits=4 m={2 * b}", b, v, "jpq") for b, _, v in values]
    shown += [(f"pq bits=4 m={2 * b}", b, v - 4, "pq") for b, v, _ in values]
    shown += [("binary", 48, 46.5, "binary"), ("binary threshold=median", 48, 45.7, "binary"), ("sq", 384, 48.6, "sq")]
    shown += [("rabitq", 56, 48.5, "rabitq"), ("rabitq bits=4", 212, 48.5, "rabitq"), ("saq bits=1.0", 60, 47.9, "saq")]
    shown += [("truncation bytes=24", 24, 19.7, "truncation"), ("truncation bytes=48", 48, 31.4, "truncation")]
    codes = [record(f"{BASE} + {n}", v / 100, bytes_per_vector=b, compression=c) for n, b, v, c in shown]
    return [record(BASE, 0.486, bytes_per_vector=1536), *codes]


def test_names_are_those_of_the_table_without_the_encoder_that_all_share() -> None:
    systems = [BASE, f"{BASE} + pq m=4", f"{BASE} + sq"]
    assert labels.shorten(systems) == ([BASE, "pq m=4", "sq"], BASE)
    assert labels.tell_codes("cranfield test", BASE, systems) == "cranfield test"
    assert labels.tell_codes("cranfield test", BASE, [*systems, "other"]) == f"cranfield test; codes of {BASE}"
    assert labels.shorten([f"{BASE}, soft_whiten + opq", f"{BASE} + opq"])[0] == ["soft_whiten + opq", "opq"]
    for two in (["a + pq", "b + pq"], ["opq-16", "pq-16"]):
        assert labels.shorten(two) == (two, "") and labels.tell_codes("t", "", two) == "t"


def test_a_name_is_drawn_as_it_is_and_letters_without_a_font_are_told() -> None:
    shown = [record("cost $5 & $6 {x}_y^2 中", 0.5, bytes_per_vector=8), record("$\\frac{", 0.4, bytes_per_vector=4)]
    figure, _ = figures.pareto(shown, "nDCG@10", title="100%&$#_{}~^\\x")
    assert {text.get_text() for text in figure.axes[0].texts} == {r.system for r in shown}
    assert b"<svg" in figures.encode(figure, "svg")
    lacking = fonts.find_undrawn(figure)
    assert lacking == () if len(fonts.find_fonts()) > 1 else "no font here has 中: boxes" in lacking[0]
    figures.close(figure)


def test_points_of_unlike_encoders_are_not_joined() -> None:
    shown = [
        record(f"{m} + pq m={b}", v, bytes_per_vector=b, compression="pq", vectors=m)
        for m, b, v in [("a", 4, 0.3), ("b", 8, 0.4)]
    ]
    assert figures.find_unjoined(shown) == {"pq"}
    assert figures.find_unjoined([replace(r, vectors="a") for r in shown]) == set()


def test_every_point_has_its_name_and_no_two_names_lie_on_each_other() -> None:
    figure, data = figures.pareto(systems_at_few_sizes(), "nDCG@10")
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.texts]
    assert len(names) == 18 == data.count("\n") - 1
    assert {"binary", "jpq distill bits=4 m=48", BASE, "truncation bytes=24 (19.7, below)"} <= set(names)
    figure.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # of an annotation's own, without its line
    for (one, a), (other, b) in combinations(zip(names, boxes, strict=True), 2):
        width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert width < 1 or height < 1, (one, other)
    front = next(line for line in axes.lines if line.get_label() == "frontier")
    steps = front.get_transform().transform(front.get_path().vertices)
    stairs = [[*a, *b] for a, b in pairwise(steps)]
    assert not sum(length_inside(tuple(b.extents), np.asarray(stairs)) for b in boxes)
    inside = axes.get_window_extent()
    assert all(inside.x0 - 1 <= b.x0 and b.x1 <= inside.x1 + 1 for b in boxes)


def test_a_figure_begins_where_most_of_its_points_are() -> None:
    assert figures.find_floor([19.7, 31.4, 42.0, 44.0, 46.0, 47.0, 48.0, 48.0]) == 42 - 1.5 * 6
    assert figures.find_floor([40.0, 41.0, 42.0]) == 40 and figures.find_floor([50.0]) == 50


def test_transformed_vectors_have_a_line_of_their_own() -> None:
    assert figures.line_of(record("a", 0.5, compression="opq", transform="soft_whiten")) == "opq, soft_whiten"
