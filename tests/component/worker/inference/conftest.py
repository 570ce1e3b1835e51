"""A worker for each task, and what clients of the Open Inference Protocol make of them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from lepton_testing.clients import KSERVE, TRITON, Client, Unavailable
from lepton_testing.heads import BIO, write_head
from lepton_testing.hosted import Host, Served
from lepton_worker.samples import write_sample

TEXTS = ["Anna met Boris in Berlin on Monday.", "It rained — all day, ünd night"]
QUESTIONS = ["Who met Boris?", "Where?"]
HEADS = {
    "classify": ("SequenceClassification", ("negative", "neutral", "positive")),
    "tag": ("TokenClassification", BIO),
    "answer": ("QuestionAnswering", ()),
}
CLOCK: dict[str, Any] = {
    "type": "object",
    "properties": {"zone": {"enum": ["utc"]}},
    "required": ["zone"],
}
CLOCK["additionalProperties"] = False
CALLING = {
    "messages": [json.dumps([{"role": "user", "content": "Hi"}])],
    "tools": [json.dumps([{"type": "function", "function": {"name": "c", "parameters": CLOCK}}])],
    "tool_choice": ["required"],
    "sampling_parameters": [json.dumps({"max_tokens": 150, "temperature": "1.0", "seed": 1})],
    "return_cumulative_logprob": [True],
    "return_num_output_tokens": [True],
}
"""A chat with a tool, as options of Triton's vLLM backend are sent."""

SLOW_MS = 150.0
TEMPLATE = "{{ messages[-1].content }}{# <tool_call> #}"


@pytest.fixture(scope="session")
def served(host: Host, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Served]:
    """A worker for each task, by its name; that is the name of its model, too."""
    root = tmp_path_factory.mktemp("inference")
    found = {}
    for task, (head, labels) in HEADS.items():
        folder = write_head(root / task, "bert", head, labels)
        found[task] = host.serve(source=str(folder), model_name=task)
    folder = write_head(root / "embed", "bert", "MaskedLM")
    found["embed"] = host.serve(source=str(folder), model_name="embed", task="embed")
    folder = write_sample(root, "llama")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    found["generate"] = host.serve(source=str(folder), model_name="generate")
    return found


@pytest.fixture(scope="session")
def slow(host: Host) -> Served:
    """Each token takes a moment; one request runs and two may wait."""
    return host.serve(
        backend="echo",
        model_name="slow-inference",
        echo_delay_ms=SLOW_MS,
        max_batch_size=1,
        max_queue_depth=2,
    )


def address(served: Served) -> str:
    return f"127.0.0.1:{served.server.port}"


@pytest.fixture(scope="session")
def cases(served: dict[str, Served]) -> dict[str, Any]:
    """What clients send to each worker."""
    inputs = {task: {"text": TEXTS} for task in served}
    inputs["answer"] = {"question": QUESTIONS, "context": TEXTS}
    more = {"generate": {"parameters": {"max_tokens": 8, "temperature": "0.7", "seed": 5}}}
    found = {
        task: {
            "address": address(one),
            "model": task,
            "inputs": inputs[task],
            **more.get(task, {}),
        }
        for task, one in served.items()
    }
    return {**found, "calling": {**found["generate"], "inputs": CALLING, "parameters": None}}


def run(client: Client, program: str, asked: dict[str, Any]) -> Any:
    try:
        return client.run(program, asked)
    except Unavailable as why:
        pytest.skip(str(why))


@pytest.fixture
def run_client() -> Callable[..., Any]:
    """Runs a program with a client; the test is skipped where that cannot be fetched."""
    return run


@pytest.fixture(scope="session")
def triton(cases: dict[str, Any], slow: Served, echo: Served) -> Any:
    """All that tritonclient found, in one process."""
    told = {"address": address(echo), "model": "echo"}
    requests = [{"text": ["héllo wörld"]}, {"text": [""]}, {"text": ["a", "bcd"]}]
    asked = {
        "unary": cases,
        "failures": cases["classify"],
        "streamed": {**told, "requests": requests},
        "strict": {**told, "requests": [{"text": [""]}]},
        "cancelled": {
            "address": address(slow),
            "model": "slow-inference",
            "inputs": {"text": ["x" * 100]},
            "parameters": {"max_tokens": 100},
        },
    }
    return run(TRITON, "triton", asked)


@pytest.fixture(scope="session")
def kserve(cases: dict[str, Any]) -> Any:
    """All that kserve's client found, in one process."""
    return run(KSERVE, "kserve", cases)
