"""A line chart as SVG: one panel, a legend beside it, readable on light and dark pages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 190, 40, 48
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#777777")
"""Okabe and Ito's palette, which the colour-blind can tell apart."""

DASHES = ' stroke-dasharray="6 3"'
INK, GRID = "#555555", "#dddddd"


@dataclass(frozen=True)
class Line:
    """Points in order of x."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """A linear axis from 0, with round ticks."""

    title: str
    step: float
    end: float

    @classmethod
    def over(cls, title: str, largest: float) -> "Axis":
        """An axis with about five ticks that reaches beyond the largest value."""
        step = round_step(largest / 5)
        return cls(title, step, step * max(1, math.ceil(largest / step - 1e-9)))

    def ticks(self) -> list[float]:
        """Values with a line and a number."""
        return [number * self.step for number in range(round(self.end / self.step) + 1)]

    def share(self, value: float) -> float:
        """Where a value stands, 0 to 1."""
        return value / self.end


def round_step(wanted: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that is not below `wanted`."""
    if wanted <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(power * digit for digit in (1, 2, 2.5, 5, 10) if power * digit >= wanted * 0.999)


def chart(title: str, across: str, up: str, lines: Sequence[Line]) -> str:
    """The picture of the lines; raises ValueError when none has a point."""
    points = [point for line in lines for point in line.points]
    if not points:
        raise ValueError(f"{title}: no points to draw")
    x = Axis.over(across, max(point[0] for point in points))
    y = Axis.over(up, max(point[1] for point in points))
    body = [*_frame(title, x, y)]
    for place, line in enumerate(lines):
        body.extend(_line(line, COLOURS[place % len(COLOURS)], place, x, y))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(title)}" '
        'font-family="system-ui, sans-serif" font-size="13">'
    )
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    return "\n".join([head, ground, *body, "</svg>", ""])


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM)


def _text(x: float, y: float, words: str, anchor: str = "middle", more: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}"{more}>'
        f"{escape(words)}</text>"
    )


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="1"/>'
    )


def _frame(title: str, x: Axis, y: Axis) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    drawn = [_text(LEFT, 24, title, "start", ' font-size="15" font-weight="600"')]
    for value in y.ticks():
        drawn.append(_rule(LEFT, _y(y, value), right, _y(y, value), GRID))
        drawn.append(_text(LEFT - 8, _y(y, value) + 4, f"{value:g}", "end"))
    for value in x.ticks():
        drawn.append(_rule(_x(x, value), bottom, _x(x, value), bottom + 4, INK))
        drawn.append(_text(_x(x, value), bottom + 18, f"{value:g}"))
    drawn.append(_rule(LEFT, bottom, right, bottom, INK))
    drawn.append(_text((LEFT + right) / 2, HEIGHT - 8, x.title))
    middle = (TOP + bottom) / 2
    turned = f' transform="rotate(-90 16 {middle:.1f})"'
    drawn.append(_text(16, middle, y.title, more=turned))
    return drawn


def _line(line: Line, colour: str, place: int, x: Axis, y: Axis) -> list[str]:
    spots = [(_x(x, across), _y(y, up)) for across, up in line.points]
    path = " ".join(f"{across:.1f},{up:.1f}" for across, up in spots)
    pen = f'stroke="{colour}" stroke-width="2.5"' + (DASHES if line.dashed else "")
    drawn = [f'<polyline points="{path}" fill="none" {pen}/>']
    drawn += [f'<circle cx="{a:.1f}" cy="{u:.1f}" r="3.5" fill="{colour}"/>' for a, u in spots]
    left, height = WIDTH - RIGHT + 16, TOP + 12 + 20 * place
    drawn.append(f'<line x1="{left}" y1="{height}" x2="{left + 18}" y2="{height}" {pen}/>')
    drawn.append(_text(left + 24, height + 4, line.name, "start"))
    return drawn
