"""Plots: what is drawn, and that it is well-formed."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from lepton_bench.engine.chart import Axis, Line, LogAxis, chart, round_step
from lepton_bench.engine.pictures import draw, pen

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
    first, second, third, *names = spots
    assert len(names) == 2  # one beside each name
    assert all(0 < x < 760 and 0 < y < 360 for x, y in spots)
    assert third[1] < second[1] < first[1]  # more is higher; the lowest line is drawn first


def test_names_stand_in_the_order_of_the_ends() -> None:
    lines = [Line("low", [(1, 9), (2, 1)]), Line("high", [(1, 2), (2, 5)]), Line("none", [])]
    root = ElementTree.fromstring(chart("Title", "x", "y", lines))
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert words.index("high") < words.index("low")
    assert "none" not in words


def test_a_logarithmic_axis_shows_orders_of_magnitude_alike() -> None:
    axis = LogAxis.over("s", 0.03, 5)
    assert axis.ticks() == pytest.approx([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10])
    assert [axis.share(value) for value in (0.0, 0.01, 0.1, 10)] == pytest.approx([0, 0, 1 / 3, 1])
    assert LogAxis.over("s", 1, 1).ticks() == [1, 2, 5, 10]
    assert LogAxis.over("s", 1e-6, 1).ticks()[:2] == pytest.approx([1e-6, 1e-5])


def test_a_chart_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no points"):
        chart("Title", "x", "y", [Line("a", [])])


def test_pictures_are_drawn_for_the_curves_there_are(tmp_path: Path) -> None:
    curves: list[dict[str, Any]] = [
        {"picture": "decode", "name": "a", "points": [[1, 2], [4, 3]]},
        {"picture": "load-goodput", "name": "a", "points": []},
    ]
    assert [path.name for path in draw(curves, tmp_path)] == ["bench-decode.svg"]


def test_a_project_has_one_colour_and_peers_are_dashed() -> None:
    ours, other, peer = pen("lepton-int8"), pen("lepton-float16"), pen("llama-cpp-int8")
    assert ours.colour == other.colour != peer.colour
    assert ours.mark == peer.mark != other.mark
    assert (ours.dashes, bool(peer.dashes)) == ("", True)
    assert pen("unknown").colour
