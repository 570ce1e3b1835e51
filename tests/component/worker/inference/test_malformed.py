"""Thousands of wrong requests: each gets a status that says so, and the worker goes on."""

import collections
import random
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from lepton_testing.hosted import Host, Served
from lepton_testing.inference import as_bytes, method, stream
from lepton_testing.inference import request as infer_request
from lepton_worker.serving.inference import messages
from lepton_worker.serving.inference.tensors import KINDS

pytestmark = pytest.mark.component

Code = grpc.StatusCode
TOLD = {
    Code.OK,
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    # A timeout of some microseconds among the parameters.
    Code.DEADLINE_EXCEEDED,
    Code.RESOURCE_EXHAUSTED,
}
COUNT, AT_A_TIME = 1200, 100
HUGE = (0, -1, 1, 2, 3, 5, 4096, 4097, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))
NAMES = (
    "text", "text_pair", "text_input", "prompt", "input_ids", "attention_mask", "question",
    "context", "x", "", "é", "messages", "stream", "sampling_parameters",
)  # fmt: skip
PARAMETERS = (
    "max_tokens", "temperature", "top_p", "seed", "stop", "priority", "timeout", "tenant",
    "overflow", "dimensions", "normalize", "prompt_name", "sequence_id", "triton_x", "other", "n",
    "logprobs", "regex", "sampling_parameters", "tools", "stream", "return_logprobs",
)  # fmt: skip
ANYWHERE = ("priority", "timeout", "tenant", "sequence_id", "triton_x", "headers", "overflow")
ECHOED = ("generate", "classify", "embed")
TASKS = (*ECHOED, "tag", "answer")


@pytest.fixture(scope="module", params=TASKS)
def target(
    request: pytest.FixtureRequest, host: Host, served: dict[str, Served]
) -> tuple[Served, Any]:
    """A worker and a good request to it."""
    task = request.param
    own = {"seed": 1} if task == "generate" else {"priority": 1}
    good = infer_request(texts=["ab", "c"], parameters=own, id="1")
    if task in ECHOED:
        return host.serve(backend="echo", task=task, model_name=task, max_model_length=16), good
    if task == "answer":
        good.inputs[0].name = "question"
        good.inputs.add(name="context", datatype="BYTES", shape=[2])
        good.raw_input_contents.append(good.raw_input_contents[0])
    return served[task], good


def shape(chance: random.Random) -> list[int]:
    sizes = [1, 2, 1, 2, *HUGE]
    return [chance.choice(sizes) for _ in range(chance.choice([0, 1, 1, 1, 2, 2, 3, 9, 40]))]


def a_value(chance: random.Random, parameter: Any) -> None:
    kind = chance.choice(["bool", "int64", "string", "double", "uint64", ""])
    if kind == "bool":
        parameter.bool_param = True
    elif kind == "int64":
        parameter.int64_param = chance.choice(HUGE)
    elif kind == "uint64":
        parameter.uint64_param = 2**64 - 1
    elif kind == "double":
        parameter.double_param = chance.choice([0.5, -1.0, 1e308, float("nan"), float("inf")])
    elif kind == "string":
        texts = ["", "1", "-1e999", "nan", "[", "[1]", "[" * 5000, "é" * 300, "9" * 5000, "true"]
        parameter.string_param = chance.choice(texts)


def contents(chance: random.Random, tensor: Any) -> None:
    many = chance.choice([0, 1, 2, 3, 50])
    fields = {kind.field for kind in KINDS.values()} - {""}
    for field in sorted(chance.sample(sorted(fields), chance.choice([1, 1, 2]))):
        if field == "bytes_contents":
            values: Any = [chance.randbytes(chance.randrange(5)) for _ in range(many)]
        elif field == "bool_contents":
            values = [True] * many
        elif field.startswith("fp"):
            values = [float("nan")] * many
        elif field in ("uint_contents", "uint64_contents"):
            values = [chance.choice([0, 1, 300])] * many
        else:
            values = [chance.choice([0, 1, -1, 300, 2**31 - 1])] * many
        getattr(tensor.contents, field).extend(values)


def raw(chance: random.Random) -> bytes:
    """Elements behind their lengths, often cut off or with lengths that lie."""
    data = b"".join(
        chance.choice([2, 2, 2, 0, 3, 2**32 - 1]).to_bytes(4, "little")
        + chance.choice([b"ab", b""])
        for _ in range(chance.choice([0, 1, 1, 2, 3]))
    )
    return data[: chance.choice([len(data), len(data), chance.randrange(len(data) + 1)])]


def wrong_tensors(chance: random.Random, good: Any) -> bytes:
    made = messages.InferRequest(model_name=chance.choice(["", "", "", "other", ":a"]))
    for _ in range(chance.choice([0, 1, 1, 1, 2, 2, 3, 30])):
        kinds = [*KINDS, "BYTES", "BYTES", "BYTES", "INT64", "INT64", "", "fp32"]
        tensor = made.inputs.add(name=chance.choice(NAMES), datatype=chance.choice(kinds))
        tensor.shape.extend(shape(chance))
        if chance.random() < 0.4:
            contents(chance, tensor)
        if chance.random() < 0.05:
            a_value(chance, tensor.parameters["shared_memory_region"])
    if chance.random() < 0.6:
        count = len(made.inputs) + chance.choice([0, 0, 0, 0, 1])
        made.raw_input_contents.extend(raw(chance) for _ in range(count))
    for _ in range(chance.choice([0, 0, 0, 1, 2, 20])):
        made.outputs.add(name=chance.choice(["label", "embedding", "text_output", "", "x"]))
    return as_bytes(made)


def wrong_parameters(chance: random.Random, good: Any) -> bytes:
    made = messages.InferRequest()
    made.CopyFrom(good)
    # Of a model that does not generate, most of them are unknown, which says little.
    names = PARAMETERS if "seed" in good.parameters else ANYWHERE
    for name in chance.sample(names, chance.randrange(1, 4)):
        a_value(chance, made.parameters[name])
    return as_bytes(made)


def wrong_bytes(chance: random.Random, good: Any) -> bytes:
    """A good message with some bytes changed, cut off or put in."""
    data = bytearray(as_bytes(good))
    for _ in range(chance.choice([1, 1, 2, 5])):
        place = chance.randrange(len(data))
        data[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
    return bytes(data[: chance.choice([len(data), len(data), chance.randrange(len(data) + 1)])])


MAKERS: tuple[Callable[[random.Random, Any], bytes], ...] = (
    wrong_tensors,
    wrong_parameters,
    wrong_bytes,
)


def requests(seed: int, good: Any) -> Iterator[bytes]:
    chance = random.Random(seed)
    for number in range(COUNT):
        yield MAKERS[number % len(MAKERS)](chance, good)


def test_each_gets_a_status_and_none_is_a_bug(target: tuple[Served, Any]) -> None:
    served, good = target
    call = method(served.channel)
    codes: collections.Counter[Any] = collections.Counter()
    waiting: collections.deque[tuple[bytes, Any]] = collections.deque()

    def take() -> None:
        sent, future = waiting.popleft()
        code = future.code()
        codes[code] += 1
        assert code in TOLD, (code, future.details(), sent)
        assert code is Code.OK or future.details()

    for sent in requests(TASKS.index(served.worker.settings.model_name), good):
        waiting.append((sent, call.future(sent)))
        if len(waiting) == AT_A_TIME:
            take()
    while waiting:
        take()
    # The makers are worth nothing if all they make is refused, or taken, for the same reason.
    assert codes[Code.OK] > COUNT / 20
    assert codes[Code.INVALID_ARGUMENT] > COUNT / 3
    assert codes[Code.NOT_FOUND] > 0
    assert call(good).outputs


def test_a_stream_outlives_all_of_them(target: tuple[Served, Any]) -> None:
    served, good = target
    sent = list(requests(17, good))[:300]
    last = messages.InferRequest()
    last.CopyFrom(good)
    last.id = "last"
    answers = list(stream(served.channel, [*sent, last]))
    final = [a for a in answers if a.infer_response.parameters["triton_final_response"].bool_param]
    assert len(final) == len(sent) + 1
    codes = {a.infer_response.parameters["error_code"].string_param for a in final} - {""}
    assert codes <= {code.name for code in TOLD}
    assert any(a.infer_response.id == "last" and not a.error_message for a in final)


@pytest.mark.parametrize(
    "name", ["ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics", "RepositoryIndex"]
)
def test_other_calls_survive_bytes_that_are_no_message(echo: Served, name: str) -> None:
    call: Any = echo.channel.unary_unary(f"/{messages.SERVICE}/{name}")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff\xff")
    assert caught.value.code() is Code.INVALID_ARGUMENT
