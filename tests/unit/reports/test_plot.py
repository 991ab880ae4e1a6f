"""Reports as pictures."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from agent.reports.plot import CHAR_WIDTH, WIDTH, Bar, svg_plot

LABEL = re.compile(r'<text x="([0-9.]+)" y="320" text-anchor="middle">([^<]*)</text>')


@pytest.mark.parametrize("count", [1, 2, 12, 50, 720])
@pytest.mark.parametrize("label", ["2026-10-30", "2026-10-30 14:00", "name " * 20])
def test_no_label_stands_on_another(count: int, label: str) -> None:
    picture = svg_plot("cost", "US dollars", [Bar(label, 1.0)] * count)
    found = [(float(x), CHAR_WIDTH * len(text)) for x, text in LABEL.findall(picture)]

    assert found
    for (x, width), (other, _) in pairwise(found):
        assert other - x >= width


@pytest.mark.parametrize("count", [1, 2, 33, 50, 720])
@pytest.mark.parametrize("label", ["2026-10-30 discord", "2026-10-30", "name " * 20])
def test_no_label_is_cut_off(count: int, label: str) -> None:
    picture = svg_plot("cost", "US dollars", [Bar(label, 1.0)] * count)
    found = [(float(x), CHAR_WIDTH * len(text)) for x, text in LABEL.findall(picture)]

    assert found
    assert min(x - width / 2 for x, width in found) >= 0
    assert max(x + width / 2 for x, width in found) <= WIDTH


def test_what_is_unknown_or_left_out_is_marked() -> None:
    bars = [Bar("a", None), Bar("b", 2.0, " and 3 of unknown price")]
    picture = svg_plot("cost", "US dollars", bars)

    assert "a: unknown" in picture
    assert "b: 2 and 3 of unknown price" in picture
    assert ">+?<" in picture
    assert "style=" not in picture
