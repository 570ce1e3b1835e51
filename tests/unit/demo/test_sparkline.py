"""Figures over time in one line of text."""

from lepton_demo.sparkline import sparkline, squeezed


def test_bars_go_from_nothing_to_the_top() -> None:
    assert sparkline([0, 7], 10, top=7) == "▁█"
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 10) == "▁▂▃▄▅▆▇█"


def test_something_is_never_drawn_as_nothing() -> None:
    assert sparkline([1], 10, top=1000) == "▂"


def test_unknown_is_not_drawn_as_nothing() -> None:
    assert sparkline([0, None, 4], 10) == "▁·█"
    assert sparkline([None, None], 10) == "··"


def test_values_above_the_top_stay_inside() -> None:
    assert sparkline([9], 10, top=3) == "█"


def test_nothing_at_all_is_the_lowest_bar() -> None:
    assert sparkline([0, 0], 10) == "▁▁"
    assert sparkline([], 10) == ""


def test_a_long_history_keeps_its_peaks() -> None:
    values: list[float | None] = [0.0] * 1000
    values[503] = 9.0
    assert max(value or 0 for value in squeezed(values, 60)) == 9.0
    assert len(squeezed(values, 60)) == 60


def test_a_stretch_is_unknown_only_when_all_of_it_is() -> None:
    assert squeezed([None, None, None, 2.0], 2) == [None, 2.0]
