"""Workers are asked once for each template, beside the passes."""

import asyncio

import pytest

from lepton_operator.api.objects import Key
from lepton_operator.status import Info
from lepton_operator.workers import FIRST_PAUSE, Interviews, address

KEY = Key("team", "chat")
SAID = Info("embed", {"device": "cpu"})


class Workers:
    """Answer what they are told, and remember who asked."""

    def __init__(self, *answers: Info | Exception | None) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.woken: list[float] = []

    async def ask(self, where: str) -> Info | None:
        self.asked.append(where)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wake(self, key: Key, after: float) -> None:
        assert key == KEY
        self.woken.append(after)


async def test_an_answer_is_asked_for_once_and_kept() -> None:
    workers = Workers(SAID)
    interviews = Interviews(workers.ask, workers.wake)
    assert interviews.answer(KEY, "t1", "192.0.2.1") is None
    assert interviews.answer(KEY, "t1", "192.0.2.1") is None
    await interviews.settled()
    assert workers.woken == [0.0]
    assert interviews.answer(KEY, "t1", "192.0.2.1") == SAID
    assert interviews.known(KEY, "t1") == SAID
    assert workers.asked == ["192.0.2.1:9000"]


async def test_another_template_is_asked_anew() -> None:
    workers = Workers(SAID, Info("generate", {}))
    interviews = Interviews(workers.ask, workers.wake)
    interviews.answer(KEY, "t1", "192.0.2.1")
    await interviews.settled()
    assert interviews.known(KEY, "t2") is None
    assert interviews.answer(KEY, "t2", "192.0.2.2") is None
    await interviews.settled()
    assert interviews.known(KEY, "t2") == Info("generate", {})


@pytest.mark.parametrize("failure", [None, ConnectionError("refused"), TimeoutError()])
async def test_without_an_answer_the_model_is_woken_later_and_not_asked_before(
    failure: Exception | None,
) -> None:
    workers = Workers(failure, failure)
    interviews = Interviews(workers.ask, workers.wake)
    interviews.answer(KEY, "t1", "192.0.2.1")
    await interviews.settled()
    assert workers.woken == [FIRST_PAUSE]
    assert interviews.answer(KEY, "t1", "192.0.2.1") is None
    await interviews.settled()
    assert len(workers.asked) == 1
    # A pass that came early, for another reason, must not be the last one.
    assert len(workers.woken) == 2
    assert 0 < workers.woken[1] <= FIRST_PAUSE


async def test_of_a_model_that_is_gone_nothing_is_kept() -> None:
    workers = Workers(SAID)
    interviews = Interviews(workers.ask, workers.wake)
    interviews.answer(KEY, "t1", "192.0.2.1")
    await interviews.settled()
    interviews.forget(KEY)
    assert interviews.known(KEY, "t1") is None


async def test_its_end_ends_the_asking() -> None:
    begun = asyncio.Event()

    async def ask(where: str) -> Info | None:
        begun.set()
        await asyncio.Event().wait()
        return None

    interviews = Interviews(ask, lambda key, after: None)
    interviews.answer(KEY, "t1", "192.0.2.1")
    await begun.wait()
    await interviews.close()


def test_an_ipv6_address_gets_its_brackets() -> None:
    assert address("2001:db8::1") == "[2001:db8::1]:9000"
