"""What a run will do: parts, who takes part, and about how long it takes.

The estimates are of one core of a server from 2023; they steer the progress bar and tell a reader
whether to fetch coffee. Nothing is measured by them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lepton_bench.engine.context import ours_of
from lepton_bench.engine.options import Options, Sizes
from lepton_bench.engine.peer_names import DECODER_PEERS, ENCODER_PEERS, RIVALS

TEXT_TOKENS = 90
"""Mean length of a text for encoders."""
CHAT_TOKENS = 57
"""Mean length of an answer in a chat."""
PROMPT_SHARE = 1.6
"""Time of a run with its prompts, over that of its new tokens alone."""
LONG_TOKENS = 748
ALONE = {"limits": 25.0, "exact": 60.0, "gpu": 0.0}
"""Seconds of the parts without contestants."""

SMALL = {"e2": 0.2}
"""Time of an encoder, over that of BERT-base."""


@dataclass(frozen=True)
class Pace:
    """How fast a contestant is: start in seconds, the rest in tokens a second."""

    start: float
    one: float = 100.0
    """New tokens with one stream."""
    many: float = 200.0
    """New tokens with 16 streams."""
    prompt: float = 800.0
    """Tokens of long prompts, or of texts."""


USUAL = Pace(6)
PACES = {
    "lepton-float32": Pace(9, 25, 120, 700),
    "lepton-float16": Pace(9, 30, 170, 700),
    "lepton-int8": Pace(9, 45, 270, 1300),
    "lepton-bfloat16": Pace(9, 45, 270, 2000),
    "lepton-auto": Pace(9, 45, 270, 2000),
    "litserve-8": Pace(12, prompt=240),
    "litserve-32": Pace(12, prompt=220),
    "mlserver": Pace(14, prompt=220),
    "kserve": Pace(12, prompt=400),
    "transformers-serve": Pace(14, 25, 25, 700),
    "transformers-serve-cb": Pace(14, 25, 88, 600),
    "transformers-cb": Pace(10, 25, 90, 600),
    "ctranslate2": Pace(4, 150, 240, 1000),
}


@dataclass(frozen=True)
class Step:
    """A part of the run."""

    part: str
    contestants: tuple[str, ...]
    seconds: float


def planned(options: Options) -> list[Step]:
    """Each part with those that take part and the seconds it may take."""
    return [_step(part, options) for part in options.parts]


def table(steps: Sequence[Step], rounds: int) -> str:
    """The plan as text."""
    lines = [f"{'part':10} {'about':>8}  contestants"]
    for step in steps:
        who = ", ".join(step.contestants) or "none"
        lines.append(f"{step.part:10} {step.seconds:>6.0f} s  {who}")
    total = sum(step.seconds for step in steps)
    word = "1 round" if rounds == 1 else f"{rounds} rounds"
    return "\n".join([*lines, f"{'all':10} {total / 60:>4.0f} min  {word} of each"])


def _step(part: str, options: Options) -> Step:
    if part in ALONE:
        return Step(part, (), ALONE[part])
    names = _contestants(part, options)
    paces = [PACES.get(name, USUAL) for name in names]
    run = RUNS[part]
    rounds = options.sizes.cold_starts + 1 if part == "cold" else options.rounds
    seconds = sum(pace.start + rounds * run(pace, options.sizes) for pace in paces)
    return Step(part, names, seconds)


def _contestants(part: str, options: Options) -> tuple[str, ...]:
    wanted = {
        "encode": ENCODER_PEERS,
        "decode": DECODER_PEERS,
        "long": ("transformers-serve-cb", "transformers-cb", "llama-cpp"),
        "mixes": tuple(RIVALS),
        "load": tuple(RIVALS),
        "cold": ("transformers-serve", "transformers-serve-cb"),
    }.get(part, ())
    ours = [f"lepton-{weights}" for weights in options.ours]
    if part not in ("encode", "decode", "long"):
        main = ours_of(ours)
        ours = [main] if main else []
    peers = [name for name in wanted if options.peers is None or name in options.peers]
    return (*ours, *peers)


def _encode(pace: Pace, sizes: Sizes) -> float:
    whole = (sizes.texts + 16) * TEXT_TOKENS / pace.prompt
    return sum(whole * SMALL.get(name, 1.0) for name in sizes.encoders)


def _decode(pace: Pace, sizes: Sizes) -> float:
    def speed(streams: int) -> float:
        return pace.one + (pace.many - pace.one) * (streams - 1) / 15

    tokens = sizes.waves * sizes.new_tokens
    return PROMPT_SHARE * sum(streams * tokens / speed(streams) for streams in sizes.streams)


def _long(pace: Pace, sizes: Sizes) -> float:
    return sizes.long_requests * (LONG_TOKENS / pace.prompt + 48 / (pace.one + pace.many))


def _mixes(pace: Pace, sizes: Sizes) -> float:
    return sizes.mix_requests * 1300 / pace.prompt + 60 * 32 / pace.many


def _load(pace: Pace, sizes: Sizes) -> float:
    capacity = sizes.capacity_requests * CHAT_TOKENS * PROMPT_SHARE / pace.many
    return capacity + 10 + len(sizes.shares) * (sizes.open_seconds + 5)


def _victim(pace: Pace, sizes: Sizes) -> float:
    return 8 * sizes.open_seconds + 30 + sizes.capacity_requests * 40 / pace.many


def _closed(pace: Pace, sizes: Sizes) -> float:
    return 16 * (sizes.waves + 1) * 4 * sizes.new_tokens * PROMPT_SHARE / pace.many


def _cold(pace: Pace, sizes: Sizes) -> float:
    return pace.start + 2


RUNS: dict[str, Callable[[Pace, Sizes], float]] = {
    "encode": _encode,
    "decode": _decode,
    "long": _long,
    "mixes": _mixes,
    "load": _load,
    "victim": _victim,
    "cancel": _closed,
    "cold": _cold,
    "overhead": lambda pace, sizes: _closed(pace, sizes) / 4,
}
"""Seconds of one round of one contestant."""
