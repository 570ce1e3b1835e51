"""Work that loading leaves: when the engine does it, and what comes before it."""

from collections.abc import Sequence

import pytest

from lepton_testing.engines import a_text
from lepton_worker.backends.base import Progress, Span
from lepton_worker.backends.echo import EchoBackend
from lepton_worker.engine.core import Core
from lepton_worker.engine.later import Later
from lepton_worker.engine.messages import Ended, FromEngine, NewTokens, Stop, Submit, ToEngine
from lepton_worker.errors import RequestError
from lepton_worker.model import Model
from lepton_worker.request import Caller


class Patient(EchoBackend):
    """Has so many pieces of work left, and notes in which order things happen."""

    def __init__(self, pieces: int, noted: list[str]) -> None:
        super().__init__()
        self.pieces, self.noted = pieces, noted

    def go_on(self) -> bool:
        """One piece less."""
        self.noted.append("piece")
        self.pieces -= 1
        return self.pieces > 0

    def step(self, spans: Sequence[Span]) -> list[Progress | RequestError]:
        """As echo does."""
        self.noted.append("step")
        return super().step(spans)


class Port:
    """Hands over one text, and ends the engine when that has nothing else to do."""

    def __init__(self, noted: list[str], texts: int) -> None:
        self.noted = noted
        self.inbox: list[ToEngine] = [
            Submit(number, a_text(*b"ab"), Caller("", 0), 0.0, None) for number in range(texts)
        ]

    def send(self, messages: Sequence[FromEngine]) -> None:
        """Note what was told to a caller."""
        self.noted += ["told" for item in messages if isinstance(item, NewTokens)]
        self.noted += ["ended" for item in messages if isinstance(item, Ended)]

    def take(self, wait: bool) -> list[ToEngine]:
        """The texts at first; the end where the engine would wait."""
        if self.inbox:
            taken, self.inbox = self.inbox, []
            return taken
        return [Stop()] if wait else []


def ran(model: Model, pieces: int, texts: int = 1) -> list[str]:
    noted: list[str] = []
    backend = Patient(pieces, noted)
    Core(backend, model, Port(noted, texts)).run()
    return noted


def test_nothing_is_done_before_the_first_step_has_been_told_of(echo_model: Model) -> None:
    noted = ran(echo_model, pieces=9)
    assert noted[:2] == ["step", "told"]
    assert noted.count("piece") == 9


def test_a_step_waits_for_one_piece_at_most(echo_model: Model) -> None:
    noted = ran(echo_model, pieces=9)
    ended = noted.index("ended")
    steps = "".join(item[0] for item in noted[: ended + 1])
    assert "pp" not in steps
    assert "p" in steps


def test_all_is_done_before_the_engine_waits(echo_model: Model) -> None:
    noted = ran(echo_model, pieces=9)
    assert noted[-1] == "piece"


def test_an_engine_that_nobody_asks_leaves_it(echo_model: Model) -> None:
    assert ran(echo_model, pieces=9, texts=0) == []


@pytest.mark.parametrize("pieces", [1, 3])
def test_nothing_is_due_once_all_is_done(pieces: int) -> None:
    later = Later(Patient(pieces, []))
    assert not later.due
    later.stepped()
    for _ in range(pieces):
        assert later.due
        later.go_on()
    assert not later.due


def test_a_backend_that_leaves_nothing_has_nothing_due() -> None:
    later = Later(EchoBackend())
    later.stepped()
    later.go_on()
    assert not later.due
