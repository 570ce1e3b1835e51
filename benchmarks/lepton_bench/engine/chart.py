"""A line chart as SVG: one panel, a legend beside it, readable on light and dark pages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 206, 40, 48
INK, GRID = "#555555", "#dddddd"


@dataclass(frozen=True)
class Pen:
    """How a line looks."""

    colour: str
    dashes: str = ""
    """Lengths of dashes and gaps; empty for a line without gaps."""
    mark: str = "circle"
    """What stands at each point: a circle, a square, a diamond or a triangle."""


@dataclass(frozen=True)
class Line:
    """Points in order of x."""

    name: str
    points: Sequence[tuple[float, float]]
    pen: Pen = Pen("#0072b2")


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


@dataclass(frozen=True)
class LogAxis:
    """A logarithmic axis from a power of ten to another."""

    title: str
    first: int
    """Exponent of its begin."""
    last: int

    @classmethod
    def over(cls, title: str, smallest: float, largest: float) -> "LogAxis":
        """An axis around both values, which are above 0."""
        first = math.floor(math.log10(smallest) + 1e-9)
        return cls(title, first, max(first + 1, math.ceil(math.log10(largest) - 1e-9)))

    def ticks(self) -> list[float]:
        """Powers of ten, with 2 and 5 times those where there is room."""
        digits = (1, 2, 5) if self.last - self.first <= 3 else (1,)
        exponents = range(self.first, self.last)
        return [*(digit * 10.0**n for n in exponents for digit in digits), 10.0**self.last]

    def share(self, value: float) -> float:
        """Where a value stands, 0 to 1; 0 for what cannot be shown."""
        if value <= 10.0**self.first:
            return 0.0
        return (math.log10(value) - self.first) / (self.last - self.first)


def round_step(wanted: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that is not below `wanted`."""
    if wanted <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(power * digit for digit in (1, 2, 2.5, 5, 10) if power * digit >= wanted * 0.999)


def chart(
    title: str, across: str, up: str, lines: Sequence[Line], *, logarithmic: bool = False
) -> str:
    """The picture of the lines, named from the highest end to the lowest.

    Raises ValueError when none has a point.
    """
    points = [point for line in lines for point in line.points]
    if not points:
        raise ValueError(f"{title}: no points to draw")
    x = Axis.over(across, max(point[0] for point in points))
    y = _up(up, [point[1] for point in points], logarithmic)
    body = [*_frame(title, x, y)]
    drawn = sorted((line for line in lines if line.points), key=lambda line: -line.points[-1][1])
    for line in reversed(drawn):
        body.extend(_line(line, x, y))
    for place, line in enumerate(drawn):
        body.extend(_name(line, place))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(title)}" '
        'font-family="system-ui, sans-serif" font-size="13">'
    )
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    return "\n".join([head, ground, *body, "</svg>", ""])


def _up(title: str, values: Sequence[float], logarithmic: bool) -> Axis | LogAxis:
    shown = [value for value in values if value > 0]
    if logarithmic and shown:
        return LogAxis.over(title, min(shown), max(shown))
    return Axis.over(title, max(values))


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis | LogAxis, value: float) -> float:
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


def _frame(title: str, x: Axis, y: Axis | LogAxis) -> list[str]:
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


def _line(line: Line, x: Axis, y: Axis | LogAxis) -> list[str]:
    spots = [(_x(x, across), _y(y, up)) for across, up in line.points]
    path = " ".join(f"{across:.1f},{up:.1f}" for across, up in spots)
    drawn = [f'<polyline points="{path}" fill="none" {_stroke(line.pen)}/>']
    return [*drawn, *(_mark(line.pen, across, up) for across, up in spots)]


def _name(line: Line, place: int) -> list[str]:
    left, height = WIDTH - RIGHT + 16, TOP + 12 + 20 * place
    rule = f'<line x1="{left}" y1="{height}" x2="{left + 30}" y2="{height}" {_stroke(line.pen)}/>'
    mark = _mark(line.pen, left + 15, height)
    return [rule, mark, _text(left + 36, height + 4, line.name, "start")]


def _stroke(pen: Pen) -> str:
    dashes = f' stroke-dasharray="{pen.dashes}"' if pen.dashes else ""
    return f'stroke="{pen.colour}" stroke-width="2"{dashes}'


CORNERS = {
    "square": ((-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5)),
    "diamond": ((0, -5), (5, 0), (0, 5), (-5, 0)),
    "triangle": ((0, -5), (4.5, 4), (-4.5, 4)),
}
"""Around the point, in pixels."""


def _mark(pen: Pen, x: float, y: float) -> str:
    if pen.mark not in CORNERS:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{pen.colour}"/>'
    corners = " ".join(f"{x + right:.1f},{y + down:.1f}" for right, down in CORNERS[pen.mark])
    return f'<polygon points="{corners}" fill="{pen.colour}"/>'
