"""An engine without a server: runs are asked for on standard input, one JSON document a line."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

Run = Callable[[list[dict[str, Any]], int], int]
"""Does what the items ask for, so many at once; returns the new tokens it made."""


def loop(run: Run, packages: Sequence[str]) -> None:
    """Tell that the engine is loaded, then run what is asked and tell how long it took."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to the log

    def tell(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    tell({"versions": {name: version(name) for name in packages}})
    for line in sys.stdin:
        asked = json.loads(line)
        start = time.perf_counter()
        try:
            tokens = run(asked["items"], asked["callers"])
        except Exception as error:
            tell({"error": f"{type(error).__name__}: {error}"[:300]})
        else:
            tell({"seconds": time.perf_counter() - start, "tokens": tokens})


def sorted_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Places of inputs in batches of like length: padded, a batch has at most `budget` tokens."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        if batch and (len(batch) + 1) * lengths[place] > budget:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
