"""What every part gets: options, contestants, texts, limits, and a place for what it finds."""

import random
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import tokenizers

from lepton_bench.engine.contestants import Contestant, Server
from lepton_bench.engine.environments import Unavailable
from lepton_bench.engine.models import Shape, ensure
from lepton_bench.engine.options import Options
from lepton_bench.engine.order import alternating
from lepton_bench.engine.roster import Roster
from lepton_bench.engine.words import lexicon
from lepton_bench.engine.workload import Writer
from lepton_bench.figures import Figure

SEED = 20
LONGEST_NOTE = 200
PREFERRED = ("lepton-float16", "lepton-float32", "lepton-int8", "lepton-bfloat16", "lepton-auto")
"""Whose figure has no suffix: ours with weights packed as float16, where it can."""


@dataclass(frozen=True)
class Limits:
    """What the machine can do with the cores that servers get."""

    read: float
    """Bytes a second, over more weights than the caches hold."""
    read_weights: dict[str, float]
    """Bytes a second over as many bytes as the decoder has, by how its weights are held."""
    rates: dict[str, float]
    """Operations a second, by kind of weights."""


@dataclass(frozen=True)
class Curve:
    """Points of one contestant in a picture."""

    picture: str
    name: str
    points: tuple[tuple[float, float], ...]


@dataclass
class Context:
    """State of one run of the suite."""

    options: Options
    roster: Roster
    tell: Callable[[str], None]
    """Shows what is being done."""
    limits: Limits | None = None
    figures: list[Figure] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Contestants that could not take part, with the reason."""

    def figure(
        self, name: str, value: float | None, unit: str, of: int | None = None, **words: Any
    ) -> None:
        """Write a figure down, to three significant digits."""
        rounded = None if value is None else float(f"{value:.3g}")
        self.figures.append(Figure(f"engine.{name}", rounded, unit, of, **words))

    def shape(self, name: str) -> Shape:
        """A model, made if need be."""
        self.tell(f"model {name}")
        return ensure(name)

    def writer(self, shape: Shape) -> Writer:
        """Writes texts for a model, counted by its own tokenizer."""
        tokenizer = tokenizers.Tokenizer.from_file(str(shape.folder / "tokenizer.json"))
        words = lexicon(4000, SEED)
        random.Random(SEED).shuffle(words)
        return Writer(words, lambda text: len(tokenizer.encode(text, add_special_tokens=False)), 1)

    def peers(self, names: Sequence[str], shape: Shape) -> list[Contestant]:
        """Those of the named peers that were asked for."""
        wanted = self.options.peers
        return [self.roster.peer(name, shape) for name in names if wanted is None or name in wanted]

    def ours(self, shape: Shape, **settings: Any) -> list[Server]:
        """The worker, once for each way to hold weights that it knows."""
        kinds = self.options.ours
        for kind in kinds:
            if not self.roster.holds(kind):
                self.missing[f"lepton-{kind}"] = "this worker has no such --quantization"
        return [
            self.roster.ours(shape, kind, **settings) for kind in kinds if self.roster.holds(kind)
        ]

    def main(self, shape: Shape, **settings: Any) -> list[Server]:
        """Only the worker whose figure has no suffix, for parts that take long."""
        servers = self.ours(shape, **settings)
        chosen = ours_of([server.name for server in servers])
        return [server for server in servers if server.name == chosen]

    @asynccontextmanager
    async def started(self, contestants: Sequence[Contestant]) -> AsyncIterator[list[Contestant]]:
        """Start all that can be started, paused; stop them at the end, whatever happens."""
        running: list[Contestant] = []
        try:
            for contestant in contestants:
                self.tell(f"starting {contestant.name}")
                try:
                    await contestant.start()
                except Unavailable as error:
                    self.drop(contestant, error)
                    continue
                contestant.child.pause()
                self.versions.update(contestant.versions)
                running.append(contestant)
            yield running
        finally:
            for contestant in contestants:
                await contestant.stop()

    async def rounds(
        self, running: list[Contestant], measure: Callable[[Contestant, int], Any]
    ) -> None:
        """Await `measure(contestant, round)` of each in alternating order, the others paused."""
        for number, order in enumerate(alternating(list(running), self.options.rounds)):
            for contestant in order:
                if contestant not in running:
                    continue
                self.tell(f"round {number + 1} of {self.options.rounds}: {contestant.name}")
                contestant.child.resume()
                try:
                    contestant.child.check()
                    await measure(contestant, number)
                    contestant.child.pause()
                except (Unavailable, RuntimeError) as error:
                    self.drop(contestant, error)
                    running.remove(contestant)
                    await contestant.stop()

    def drop(self, contestant: Contestant, error: Exception) -> None:
        """Remember why a contestant is out."""
        words = str(error).replace("|", "/").replace("\n", " ")
        self.missing[contestant.name] = words[:LONGEST_NOTE]

    def why(self, *names: str) -> str:
        """Why none of these took part."""
        reasons = [f"{name}: {self.missing[name]}" for name in names if name in self.missing]
        return "; ".join(reasons) or f"{', '.join(names)} did not take part in this run"


def ours_of(names: Collection[str]) -> str | None:
    """The one among those that took part whose figure has no suffix."""
    return next((name for name in PREFERRED if name in names), None)
