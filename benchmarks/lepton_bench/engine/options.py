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
    "mixes",
    "load",
    "victim",
    "cancel",
    "cold",
    "overhead",
    "exact",
    "gpu",
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
    mix_requests: int
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
    mix_requests=48,
    capacity_requests=64,
    open_seconds=45,
    shares=(0.3, 0.5, 0.7, 0.9, 1.2, 2.0),
    cold_starts=4,
    probe_bytes=5 * 2**30,
)
QUICK = Sizes(
    encoders=("e1",),
    texts=96,
    decoder="d1",
    new_tokens=32,
    streams=(1, 4, 8, 16),
    waves=2,
    long_requests=8,
    mix_requests=16,
    capacity_requests=32,
    open_seconds=15,
    shares=(0.3, 0.6, 0.9, 1.2, 2.0),
    cold_starts=2,
    probe_bytes=5 * 2**30,
)
TRIAL = Sizes(
    encoders=("e2",),
    texts=32,
    decoder="d1",
    new_tokens=8,
    streams=(1, 8),
    waves=1,
    long_requests=2,
    mix_requests=8,
    capacity_requests=8,
    open_seconds=2,
    shares=(0.5, 2.0),
    cold_starts=1,
    probe_bytes=2**29,
)

QUICK_PEERS = (
    "litserve-8",
    "litserve-32",
    "mlserver",
    "onnxruntime",
    "onnxruntime-int8",
    "transformers-serve",
    "transformers-serve-cb",
    "ctranslate2",
    "llama-cpp",
    "llama-cpp-int8",
    "openvino-genai",
    "openvino-genai-int8",
)
"""Those that the aims name, and who was ahead of the others of its kind before."""


@dataclass(frozen=True)
class Options:
    """The suite's own command line."""

    quick: bool
    trial: bool
    """Whether the results are no results: they stay in the cache."""
    prepare: bool
    """Only install the peers and make the models."""
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
        sizes = TRIAL if self.trial else QUICK if self.quick else FULL
        return sizes if not self.large else Sizes(**{**vars(sizes), "decoder": "d2"})


def parse(arguments: Sequence[str]) -> Options:
    """Read the words behind `engine`; exits with a usage message when they make no sense."""
    parser = argparse.ArgumentParser(prog="make bench ARGS='engine …'", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one round with the peers that matter: 40 minutes"
    )
    parser.add_argument(
        "--trial", action="store_true", help="seconds a point; results stay in the cache"
    )
    parser.add_argument(
        "--prepare", action="store_true", help="only install the peers and make the models"
    )
    parser.add_argument("--rounds", type=int, help="A-B-B-A rounds (4; 1 when quick or a trial)")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="only these peers")
    parser.add_argument("--ours", nargs="+", choices=OURS, metavar="WEIGHTS", help=", ".join(OURS))
    parser.add_argument("--worker", default=f"{sys.executable} -m lepton_worker", metavar="COMMAND")
    parser.add_argument("--large", action="store_true", help="decoder of 0.5B instead of 125M")
    parser.add_argument("--threads", type=int, help="cores for each server (all but one)")
    found = parser.parse_args(list(arguments))
    short = found.quick or found.trial
    peers = found.peers if found.peers is not None else QUICK_PEERS if short else None
    return Options(
        quick=found.quick,
        trial=found.trial,
        prepare=found.prepare,
        rounds=found.rounds or (1 if short else 4),
        parts=tuple(part for part in PARTS if part in (found.only or PARTS)),
        peers=None if peers is None else tuple(peers),
        ours=tuple(found.ours or OURS),
        worker=tuple(shlex.split(found.worker)),
        large=found.large,
        threads=found.threads,
    )
