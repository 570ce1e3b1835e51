"""Plots: what is drawn, and that it is well-formed."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from lepton_bench.engine.chart import Axis, Line, chart, round_step
from lepton_bench.engine.pictures import draw

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("wanted", "step"), [(0.7, 1), (1, 1), (1.1, 2), (2.1, 2.5), (3, 5), (6, 10), (0.03, 0.05)]
)
def test_steps_are_round(wanted: float, step: float) -> None:
    assert round_step(wanted) == pytest.approx(step)


def test_an_axis_reaches_beyond_the_largest_value() -> None:
    axis = Axis.over("x", 23)
    assert axis.ticks() == [0, 5, 10, 15, 20, 25]
    assert axis.share(12.5) == 0.5


def test_an_axis_of_nothing_still_has_ticks() -> None:
    assert Axis.over("x", 0).ticks() == [0, 1]


def test_a_chart_has_a_line_a_name_and_points_inside_the_picture() -> None:
    lines = [Line("a < b", [(1, 10), (2, 40)]), Line("c", [(1, 5)])]
    root = ElementTree.fromstring(chart("Title", "across", "up", lines))
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert {"Title", "across", "up", "a < b", "c"} <= set(words)
    assert len(list(root.iter(f"{SVG}polyline"))) == 2
    spots = [
        (float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in root.iter(f"{SVG}circle")
    ]
    assert len(spots) == 3
    assert all(0 < x < 760 and 0 < y < 360 for x, y in spots)
    assert spots[1][1] < spots[0][1] < spots[2][1]  # more is higher


def test_a_chart_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no points"):
        chart("Title", "x", "y", [Line("a", [])])


def test_pictures_are_drawn_for_the_curves_there_are(tmp_path: Path) -> None:
    curves: list[dict[str, Any]] = [
        {"picture": "decode", "name": "a", "points": [[1, 2], [4, 3]]},
        {"picture": "load-goodput", "name": "a", "points": []},
    ]
    assert [path.name for path in draw(curves, tmp_path)] == ["bench-decode.svg"]


def test_ours_are_drawn_first_and_peers_are_dashed(tmp_path: Path) -> None:
    curves = [
        {"picture": "decode", "name": name, "points": [[1, 2], [4, 3]]}
        for name in ("a-peer", "lepton-int8")
    ]
    root = ElementTree.parse(draw(curves, tmp_path)[0]).getroot()
    lines = list(root.iter(f"{SVG}polyline"))
    assert ["stroke-dasharray" in line.attrib for line in lines] == [False, True]
