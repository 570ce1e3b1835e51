"""What work costs on this machine, learned from the steps themselves.

A step is taken to last `overhead + prefill x P + decode x D` seconds for P tokens of prompts or
inputs and D next tokens. The three are fitted by least squares with exponential forgetting (Ljung,
"System Identification", 1999, section 11.2): each step makes the older ones count MEMORY times as
much. Rows are divided by the time that was expected, so that short steps count like long ones, and
a time is cut to CLIP times the expected one, so that one pause of the machine changes little,
while a lasting change still comes through. None of the three is negative (Lawson and Hanson,
"Solving Least Squares Problems", 1974, chapter 23; for three all sets of zeros can be tried). A
small ridge pulls towards the last solution: what recent steps say nothing about stays as it was.
"""

from bisect import bisect_right, insort
from collections import deque
from dataclasses import dataclass

MEMORY = 0.97
CLIP = 4.0
RIDGE = 1e-4
SLOW = 0.9999
"""How fast it is forgotten on what scale a kind of tokens was seen."""
FREE = ((0, 1, 2), (0, 1), (0, 2), (1, 2), (0,), (1,), (2,))
TRUSTED = 4
"""Steps before anything is said."""
FINISHED = 256
"""Texts whose lengths are kept."""
SMOOTHING = 0.1


@dataclass(frozen=True)
class Work:
    """Tokens still to be computed: of prompts or inputs, and next tokens."""

    prefill: int = 0
    decode: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.prefill + other.prefill, self.decode + other.decode)

    def __sub__(self, other: "Work") -> "Work":
        return Work(self.prefill - other.prefill, self.decode - other.decode)


@dataclass(frozen=True)
class Rates:
    """Seconds of each step, of each token of prefill, and of each next token.

    `typical_new` is how many tokens three of four texts do not exceed, None while none has ended.
    """

    overhead: float
    prefill: float
    decode: float
    typical_new: int | None = None

    def seconds_for(self, prefill: int, decode: int) -> float:
        """How long one step with so many tokens lasts."""
        return self.overhead + self.prefill * prefill + self.decode * decode

    def expected_new(self, most_new: int) -> int:
        """How long a text gets that may have `most_new` tokens."""
        return most_new if self.typical_new is None else min(most_new, self.typical_new)


@dataclass(frozen=True)
class Report:
    """What the engine tells whoever admits requests.

    `left` is what the requests that run still need. `shortest_wait` is the shortest time, in
    seconds, that any request taken up since the last report had waited; if none was, how long the
    oldest waits, and 0 when nothing waits. `shields` says that tenants with more than a fair share
    give slots up to others.
    """

    rates: Rates | None
    left: Work
    shortest_wait: float
    shields: bool = False


class Costs:
    """Fits the cost of steps and the length of texts while they run."""

    def __init__(self) -> None:
        self._products = [[0.0] * 3 for _ in range(3)]
        self._moments = [0.0] * 3
        self._scale = [0.0] * 3
        self._solution = [0.0] * 3
        self._steps = 0
        self._solved = 0
        self._tokens = 0.0
        self._seconds = 0.0
        self._lengths: deque[int] = deque()
        self._sorted: list[int] = []

    def observe(self, prefill: int, decode: int, seconds: float) -> None:
        """Note how long a step took."""
        if prefill + decode <= 0 or seconds <= 0:
            return
        self._tokens += SMOOTHING * (prefill + decode - self._tokens)
        self._seconds += SMOOTHING * (seconds - self._seconds)
        expected = self.seconds_for(prefill, decode)
        seconds = min(seconds, CLIP * expected) if expected else seconds
        scale = 1 / (expected or seconds)
        row = (scale, prefill * scale, decode * scale)
        for i in range(3):
            self._moments[i] = MEMORY * self._moments[i] + row[i] * seconds * scale
            for j in range(3):
                self._products[i][j] = MEMORY * self._products[i][j] + row[i] * row[j]
        self._steps += 1

    def finished(self, new_tokens: int) -> None:
        """Note how long a text became that ended by itself."""
        self._lengths.append(new_tokens)
        insort(self._sorted, new_tokens)
        if len(self._lengths) > FINISHED:
            self._sorted.remove(self._lengths.popleft())

    @property
    def rate(self) -> float | None:
        """Tokens of either kind per second, lately; None before any step."""
        return self._tokens / self._seconds if self._seconds else None

    def rates(self) -> Rates | None:
        """What was learned, None while that is too little."""
        if self._steps < TRUSTED:
            return None
        overhead, prefill, decode = self._solve()
        return Rates(overhead, prefill, decode, self._end_of(3))

    def seconds_for(self, prefill: int, decode: int) -> float:
        """How long one step with so many tokens lasts; 0 while that is not known."""
        rates = self.rates()
        return rates.seconds_for(prefill, decode) if rates else 0.0

    def expected_new(self, most_new: int) -> int:
        """How long a text gets that may have `most_new` tokens."""
        return self.expected_rest(0, 0, most_new)

    def expected_rest(self, generated: int, least: int, most: int) -> int:
        """Tokens that a text will still get: of those that went on so far, three of four ended
        within as many. All that it may get, while none went on so far.
        """
        return self._rest(generated, least, most, 3, most)

    def least_rest(self, generated: int, least: int, most: int) -> int:
        """The same for one text of four; one token, while none went on so far."""
        return self._rest(generated, least, most, 1, generated + 1)

    def _rest(self, generated: int, least: int, most: int, quarters: int, unknown: int) -> int:
        end = self._end_of(quarters, bisect_right(self._sorted, generated))
        return max(least, min(most, unknown if end is None else end)) - generated

    def _end_of(self, quarters: int, shorter: int = 0) -> int | None:
        """The length that so many quarters of the texts do not exceed, the `shorter` left out."""
        count = len(self._sorted) - shorter
        return self._sorted[shorter + (quarters * count - 1) // 4] if count else None

    def _solve(self) -> list[float]:
        """The best non-negative solution; again only after new steps."""
        if self._solved == self._steps:
            return self._solution
        self._solved = self._steps
        products = [list(row) for row in self._products]
        moments = list(self._moments)
        for i in range(3):
            self._scale[i] = max(products[i][i], SLOW * self._scale[i])
            ridge = RIDGE * self._scale[i]
            products[i][i] += ridge
            moments[i] += ridge * self._solution[i]
        self._solution = non_negative(products, moments)
        return self._solution


def non_negative(products: list[list[float]], moments: list[float]) -> list[float]:
    """The non-negative w with the smallest w'Pw - 2m'w: P symmetric and 3 by 3, none negative.

    If the unbounded solution is non-negative that is it, else the best of those with some zeros.
    """
    best, least = [0.0] * 3, 0.0
    for free in FREE:
        solution = _solved(products, moments, free)
        if solution is None or min(solution) < 0:
            continue
        if len(free) == 3:
            return solution
        # where w solves its part of Pw = m, w'Pw is m'w
        value = -sum(moments[i] * solution[i] for i in free)
        if value < least:
            best, least = solution, value
    return best


def _solved(
    products: list[list[float]], moments: list[float], free: tuple[int, ...]
) -> list[float] | None:
    """Solve for some of the three, the others 0, by elimination; None if that cannot be done."""
    rows = [[products[i][j] for j in free] + [moments[i]] for i in free]
    size = len(free)
    for i, pivot in enumerate(rows):
        if pivot[i] <= 0:
            return None
        for row in rows[i + 1 :]:
            factor = row[i] / pivot[i]
            for j in range(i, size + 1):
                row[j] -= factor * pivot[j]
    solution = [0.0] * 3
    for i in reversed(range(size)):
        known = sum(rows[i][j] * solution[free[j]] for j in range(i + 1, size))
        solution[free[i]] = (rows[i][size] - known) / rows[i][i]
    return solution
