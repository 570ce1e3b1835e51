"""What the suite is told on the command line, and how long it measures."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass

PARTS = (
    "limits",
    "encode",
    "decode",
    "long",
    "load",
    "victim",
    "cancel",
    "cold",
    "overhead",
)
"""Parts in the order in which they run: later ones use the limits and capacities of earlier."""

OURS = ("float32", "float16", "int8", "bfloat16", "auto")
"""How the worker is asked to hold its weights, by name; `auto` is what it chooses by itself."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured. Counts are requests, times are seconds."""

    encoders: tuple[str, ...]
    texts: int
    """Texts an encoder run answers."""
    decoder: str
    new_tokens: int
    """Tokens of each answer in the closed loop."""
    streams: tuple[int, ...]
    """Concurrent streams in the closed loop."""
    waves: int
    """Requests a stream answers in one run."""
    long_requests: int
    capacity_requests: int
    """Requests of the closed loop that tells the capacity."""
    open_seconds: float
    shares: tuple[float, ...]
    """Open-loop rates as shares of the own capacity."""
    cold_starts: int
    probe_bytes: int
    """Weights read in the bandwidth probe, if memory allows."""


FULL = Sizes(
    encoders=("e1", "e2"),
    texts=128,
    decoder="d1",
    new_tokens=48,
    streams=(1, 4, 8, 16),
    waves=2,
    long_requests=16,
    capacity_requests=64,
    open_seconds=45,
    shares=(0.3, 0.5, 0.7, 0.9, 1.2, 2.0),
    cold_starts=4,
    probe_bytes=5 * 2**30,
)
QUICK = Sizes(
    encoders=("e2",),
    texts=48,
    decoder="d1",
    new_tokens=16,
    streams=(1, 4, 16),
    waves=1,
    long_requests=8,
    capacity_requests=24,
    open_seconds=8,
    shares=(0.5, 2.0),
    cold_starts=1,
    probe_bytes=2**30,
)


@dataclass(frozen=True)
class Options:
    """The suite's own command line."""

    quick: bool
    rounds: int
    parts: tuple[str, ...]
    peers: tuple[str, ...] | None
    """Peers to take part, by name; all when None."""
    ours: tuple[str, ...]
    worker: tuple[str, ...]
    """Command that serves a model: the worker of this tree, or another build of it."""
    large: bool
    """Measure the decoder parts with the 0.5B shape instead of the 125M one."""
    threads: int | None

    @property
    def sizes(self) -> Sizes:
        """How much is measured."""
        sizes = QUICK if self.quick else FULL
        return sizes if not self.large else Sizes(**{**vars(sizes), "decoder": "d2"})


def parse(arguments: Sequence[str]) -> Options:
    """Read the words behind `engine`; exits with a usage message when they make no sense."""
    parser = argparse.ArgumentParser(prog="make bench ARGS='engine …'", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="minutes; results stay in the cache")
    parser.add_argument("--rounds", type=int, help="A-B-B-A rounds (4; 1 when quick)")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="only these peers")
    parser.add_argument("--ours", nargs="+", choices=OURS, metavar="WEIGHTS", help=", ".join(OURS))
    parser.add_argument("--worker", default=f"{sys.executable} -m lepton_worker", metavar="COMMAND")
    parser.add_argument("--large", action="store_true", help="decoder of 0.5B instead of 125M")
    parser.add_argument("--threads", type=int, help="cores for each server (all but one)")
    found = parser.parse_args(list(arguments))
    return Options(
        quick=found.quick,
        rounds=found.rounds or (1 if found.quick else 4),
        parts=tuple(part for part in PARTS if part in (found.only or PARTS)),
        peers=None if found.peers is None else tuple(found.peers),
        ours=tuple(found.ours or (OURS[:3] if found.quick else OURS)),
        worker=tuple(shlex.split(found.worker)),
        large=found.large,
        threads=found.threads,
    )
