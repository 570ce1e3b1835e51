"""A worker that guesses tokens ahead says what one without says, in fewer steps."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lepton.v1 import generation_pb2
from lepton_testing.driven import Driven, leftovers
from lepton_testing.families import opened, write_decoder
from lepton_testing.hosted import Host, Served
from lepton_worker.backends import open_backend
from lepton_worker.backends.base import LoadOrder, Speculation
from lepton_worker.backends.native import speculation
from lepton_worker.backends.native.speculation import other_tokens
from lepton_worker.backends.speculation.drafting import Drafting
from lepton_worker.errors import InvalidSetting
from lepton_worker.request import Constraint, Task
from lepton_worker.samples import write_sample

pytestmark = pytest.mark.component

FAMILIES = ["Llama", "Qwen2", "GPT2"]
COPIED = [5, 9, 14, 30, 41, 22, 17, 8] * 4
OTHER = [44, 3, 90, 61, 12]
OPTIONS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "logprobs": {"logprobs": 2},
    "seeded": {"temperature": 0.3, "seed": 5},
    "hot": {"temperature": 1.5, "seed": 6, "top_p": 0.9, "top_k": 20},
    "penalties": {
        "repetition_penalty": 1.1,
        "frequency_penalty": 0.2,
        "temperature": 0.5,
        "seed": 1,
    },
    "read": {"prompt_logprobs": True, "logprobs": 0},
    "json": {"constraint": Constraint("json_object"), "temperature": 0.7, "seed": 2},
    "choices": {"constraint": Constraint("choices", ("she sells sea shells", "on the shore"))},
    "least": {
        "min_new_tokens": 9,
        "ends": frozenset(range(100, 200)),
        "temperature": 0.9,
        "seed": 3,
    },
}


@dataclasses.dataclass(frozen=True)
class Pair:
    """A backend that guesses and one that does not, with the same model."""

    plain: Any
    guessing: Any
    model: Any


def load(folder: Path, method: Any, assistant: Path | None = None, **order: Any) -> Any:
    """A backend in float32, and its model."""
    backend = open_backend("native")
    said = Speculation(method, assistant)
    order = {"slots": 8, "quantization": "none", "device": "cpu", **order}
    return backend, backend.load(LoadOrder(folder, Task.GENERATE, speculation=said, **order))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("decoders")
    return {name: write_decoder(top / name, name) for name in FAMILIES}


@pytest.fixture(scope="module", params=["ngram", "assistant", "other-assistant"])
def pair(request: Any, folders: dict[str, Path]) -> Iterator[Pair]:
    """All ways to guess, on one model."""
    names = {"ngram": None, "assistant": "Llama", "other-assistant": "Qwen2"}
    other = names[request.param]
    method = "assistant" if other else "ngram"
    plain, model = opened(folders["Llama"])
    with pytest.MonkeyPatch.context() as patched:
        cheap(patched)
        guessing, facts = load(folders["Llama"], method, folders[other] if other else None)
    assert facts.choices["speculation"].startswith(f"{method}: ")
    yield Pair(plain, guessing, model)
    guessing.close()


def cheap(patched: pytest.MonkeyPatch) -> None:
    """What a step costs on a busy machine is no matter of these tests."""
    patched.setattr(speculation, "_measured", lambda *_: 0.05)


def told(backend: Any, model: Any, submit: Any) -> tuple[Driven, list[Any]]:
    """What is told of texts, each by its number."""
    driven = Driven(backend, model)
    numbers = submit(driven)
    driven.finish()
    assert not leftovers(driven.core, backend)
    return driven, [
        (driven.ids[number], driven.ended.get(number), driven.failed.get(number))
        for number in numbers
    ]


@pytest.mark.parametrize("name", OPTIONS)
def test_options_give_the_same_text(pair: Pair, name: str) -> None:
    options = OPTIONS[name]

    def submit(driven: Driven) -> list[int]:
        return [driven.text(prompt, 40, **options) for prompt in (COPIED, OTHER)]

    plain, expected = told(pair.plain, pair.model, submit)
    driven, found = told(pair.guessing, pair.model, submit)
    for (ids, end, error), (other_ids, other_end, other_error) in zip(expected, found, strict=True):
        assert other_ids == ids
        assert (end is None) is (other_end is None)
        assert str(error) == str(other_error)
        if end is not None and other_end is not None:
            assert other_end.reason is end.reason
            assert [item.token for item in other_end.prompt_logprobs] == [
                item.token for item in end.prompt_logprobs
            ]
    drafted = sum(report.drafted_tokens for report in driven.reports)
    accepted = sum(report.accepted_tokens for report in driven.reports)
    assert 0 <= accepted <= drafted
    # As many steps are saved as the text that gains least had tokens accepted.
    assert len(driven.reports) <= len(plain.reports)
    if name == "greedy":
        assert drafted > 0


def test_texts_that_come_and_go(pair: Pair) -> None:
    def submit(driven: Driven) -> list[int]:
        first = driven.text(COPIED, 40, priority=1)
        driven.step(3)
        gone = driven.text(OTHER, 40, priority=1)
        driven.step(2)
        driven.cancel(gone)
        # With one slot each, these take the slot of the first one, which goes on behind them.
        better = [driven.text([*COPIED, 7, number], 12) for number in range(8)]
        return [first, *better]

    plain, expected = told(pair.plain, pair.model, submit)
    guessing, found = told(pair.guessing, pair.model, submit)
    assert [ids for ids, _, _ in found] == [ids for ids, _, _ in expected]
    assert plain.evicted > 0
    assert guessing.evicted > 0


def test_the_model_as_its_own_assistant_saves_steps(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cheap(monkeypatch)
    for family in FAMILIES[1:]:
        plain, model = opened(folders[family])
        backend, _ = load(folders[family], "assistant", folders[family])
        (without, [expected]), (driven, [found]) = (
            told(item, model, lambda driven: [driven.text(OTHER, 42)]) for item in (plain, backend)
        )
        assert found[0] == expected[0]
        assert found[1].reason is expected[1].reason
        assert len(driven.reports) < len(without.reports) / 3
        drafted = [report.drafted_tokens for report in driven.reports]
        assert drafted == [report.accepted_tokens for report in driven.reports]


def test_what_is_chosen_is_told(folders: dict[str, Path]) -> None:
    folder = folders["Llama"]
    for method, told_method in (("none", "none: not asked for"), ("ngram", "ngram: up to 6 tok")):
        _, model = load(folder, method)
        assert model.choices["speculation"].startswith(told_method)
    backend, model = load(folder, "auto")
    kind = model.choices["speculation"].split(":")[0]
    assert kind == ("ngram" if isinstance(backend._decoder.drafts, Drafting) else "none")
    # Nothing is left of the trial.
    assert backend._decoder.texts == backend._decoder.running == 0
    assert backend._decoder.held_tokens == 0


def test_an_assistant_with_other_tokens_is_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    other = write_sample(tmp_path / "llama", "llama")
    with pytest.raises(InvalidSetting, match="cannot be the assistant of this model: its tok"):
        load(folders["Llama"], "assistant", other)


def test_an_assistant_with_an_encoder_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    other = write_sample(tmp_path / "t5", "t5")
    with pytest.raises(InvalidSetting, match="it has an encoder"):
        load(folders["Llama"], "assistant", other)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"a": 0, "b": 1}, {"b": 1, "a": 0}, None),
        ({"a": 0, "b": 1}, {"a": 0}, None),
        ({"a": 0}, {"a": 0, "<mark>": 1}, None),
        ({"a": 0, "b": 1}, {"a": 0, "c": 1}, "of its 2 tokens 1 are others for the model, the fir"),
        ({"a": 0, "b": 1}, {"a": 0, "b": 2}, "the first one token 2, 'b'"),
        ({"a": 0, "b": 1}, {"b": 0, "a": 1}, "the first one token 0, 'b'"),
    ],
)
def test_how_vocabularies_differ(
    first: dict[str, int], second: dict[str, int], said: str | None
) -> None:
    found = other_tokens(first, second)
    assert found is None if said is None else said in (found or "")


def ask(served: Served, text: str, **sampling: Any) -> tuple[str, list[int], Any]:
    request = generation_pb2.GenerateRequest(
        text=text, sampling=generation_pb2.Sampling(max_new_tokens=40, **sampling)
    )
    events = list(served.generation.Generate(request, timeout=60))
    ids = [token for event in events for token in event.delta.token_ids]
    finish = events[-1].finish
    return "".join(event.delta.text for event in events), ids, (finish.reason, finish.usage)


def test_streams_and_stop_strings_over_grpc(
    host: Host, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cheap(monkeypatch)
    source = str(samples / "qwen2")
    guesses = {"speculation": "assistant", "speculation_model": source}
    plain = host.serve(source=source, model_name="plain", quantization="none")
    guessing = host.serve(source=source, model_name="guessing", quantization="none", **guesses)
    whole, ids, _ = ask(plain, "the sea the sea the")
    assert len(ids) > 20
    middle = whole[len(whole) // 2 :][:3]
    for options in (
        {},
        {"stop": [middle]},
        {"stop": [whole[4:6]]},
        {"temperature": 0.8, "seed": 4},
    ):
        expected, found = (
            ask(item, "the sea the sea the", **options) for item in (plain, guessing)
        )
        assert found == expected
    drafted = guessing.sample("lepton_drafted_tokens_total")
    assert drafted >= guessing.sample("lepton_accepted_tokens_total") > 0
    assert plain.sample("lepton_drafted_tokens_total") == 0
    said = json.dumps(dict(guessing.worker.engine().model.choices))
    assert "assistant: up to" in said
