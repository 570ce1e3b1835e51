"""What /metrics says: held against its documentation, and against requests that are known."""

import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from lepton.v1 import generation_pb2, generation_pb2_grpc
from lepton_testing.worker_process import WorkerProcess

pytestmark = pytest.mark.component

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"
ROW = re.compile(r"\| `((?:lepton_|vllm:)\w+)` \| (\w+) \| ([^|]*)\|", re.MULTILINE)
SECONDS = 30
LONG = "Good morning, and good night. " * 8
"""Long enough for its state to be worth keeping."""

Families = dict[str, Metric]


class Scraped:
    """A worker with a decoder and an engine of its own, and its metrics."""

    def __init__(self, worker: WorkerProcess) -> None:
        self.worker = worker
        self._port = int(worker.awaits(r"metrics on port (\d+)")[1])
        self.generation = generation_pb2_grpc.GenerationStub(worker.channel)

    def families(self) -> Families:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return {_name(family): family for family in text_string_to_metric_families(text)}

    def values(self) -> dict[str, float]:
        """Samples that have no labels but the usual ones, and those by one further label."""
        found = {}
        for family in self.families().values():
            for sample in family.samples:
                rest = [
                    sample.labels[key]
                    for key in sample.labels
                    if key not in ("model", "model_name", "engine")
                ]
                found[":".join([sample.name, *rest])] = sample.value
        return found

    def write(self, length: int, text: str = LONG) -> list[generation_pb2.GenerateEvent]:
        request = generation_pb2.GenerateRequest(
            text=text, sampling=generation_pb2.Sampling(max_new_tokens=length, ignore_eos=True)
        )
        return list(self.generation.Generate(request))


def _name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("metrics")
    with WorkerProcess(
        folder, source=samples / "llama", model_name="books", metrics_aliases="vllm"
    ) as worker:
        worker.awaits(" serving")
        yield Scraped(worker)


def test_known_requests_are_counted(scraped: Scraped) -> None:
    finishes = [scraped.write(length)[-1].finish for length in (1, 5, 5)]
    with pytest.raises(grpc.RpcError):
        scraped.write(1, text="")
    prompt = finishes[0].usage.prompt_tokens
    cached = sum(finish.usage.cached_tokens for finish in finishes)
    assert cached > 0
    values = scraped.values()
    expected = {
        "lepton_requests_total:OK": 3,
        "lepton_requests_total:INVALID_ARGUMENT": 1,
        "lepton_requests_rejected_total:INVALID_REQUEST": 1,
        "lepton_requests_cancelled_total:client": 0,
        "lepton_texts_finished_total:length": 3,
        "lepton_prompt_tokens_total": 3 * prompt,
        "lepton_generated_tokens_total": 11,
        "lepton_cache_queried_tokens_total": 3 * prompt,
        "lepton_cached_tokens_total": cached,
        "lepton_request_duration_seconds_count": 4,
        "lepton_queue_duration_seconds_count": 3,
        "lepton_time_to_first_token_seconds_count": 3,
        "lepton_inter_token_latency_seconds_count": 8,
        "lepton_time_per_output_token_seconds_count": 2,
        "lepton_batch_size_count": 11,
        "lepton_step_duration_seconds_count": 11,
        "lepton_step_tokens_sum": 3 * prompt - cached + 8,
        "lepton_requests_waiting": 0,
        "lepton_requests_running": 0,
        "lepton_queue_oldest_seconds": 0,
        "lepton_engine_restarts_total": 0,
        "lepton_evictions_total": 0,
    }
    assert {name: values.get(name) for name in expected} == expected
    # A prompt of which one token is left to be read counts as a text that goes on.
    read = 3 * prompt - cached
    assert read - 2 <= values["lepton_prefill_tokens_total"] <= read
    assert values["lepton_time_per_output_token_seconds_sum"] > 0
    for phase in ("fetch", "import", "load", "warm_up"):
        assert values[f"lepton_model_load_seconds:{phase}"] > 0
    for process in ("front", "engine"):
        assert values[f"lepton_process_resident_memory_bytes:{process}"] > 2**24


def test_a_caller_that_goes_is_told_from_others(scraped: Scraped) -> None:
    before = scraped.values()
    request = generation_pb2.GenerateRequest(
        text="x", sampling=generation_pb2.Sampling(max_new_tokens=200, ignore_eos=True)
    )
    stream = scraped.generation.Generate(request)
    assert next(stream).HasField("accepted")
    assert next(stream).delta.token_ids
    stream.cancel()
    name, other = "lepton_requests_cancelled_total:client", "lepton_texts_finished_total:abort"
    until = time.monotonic() + SECONDS
    while (now := scraped.values())[name] == before[name] and time.monotonic() < until:
        pass
    assert now[name] == before[name] + 1
    assert now[other] == before.get(other, 0) + 1


def test_names_of_others_have_the_same_values(scraped: Scraped) -> None:
    scraped.write(2)
    families, values = scraped.families(), scraped.values()
    rows = ROW.findall(REFERENCE.read_text())
    meanings = dict(
        re.findall(r"\| `(vllm:\w+)` \|[^|]*\|[^|]*\| `(lepton_\w+)`", REFERENCE.read_text())
    )
    assert len(meanings) == sum(name.startswith("vllm:") for name, _, _ in rows) - 2
    for name, own in meanings.items():
        ending = "_count" if families[name].type == "histogram" else ""
        if name != "vllm:request_success_total":
            assert values[f"{name}{ending}"] == values[f"{own}{ending}"]
        for sample in families[name].samples:
            assert (sample.labels["model_name"], sample.labels["engine"]) == ("books", "0")


def test_what_is_exposed_is_what_is_documented(scraped: Scraped) -> None:
    scraped.write(2)
    families = scraped.families()
    documented = {name: (kind, labels) for name, kind, labels in ROW.findall(REFERENCE.read_text())}
    assert {name: family.type for name, family in families.items()} == {
        name: kind for name, (kind, _) in documented.items()
    }
    for name, family in families.items():
        usual = {"model_name", "engine"} if name.startswith("vllm:") else {"model"}
        told = set(re.findall(r"`(\w+)`", documented[name][1])) | usual
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == told, name


def test_names_of_others_are_there_only_when_asked_for(tmp_path: Path) -> None:
    with WorkerProcess(tmp_path, backend="echo", drain_seconds=0) as worker:
        worker.awaits(" serving")
        names = set(Scraped(worker).families())
    assert "lepton_requests_waiting" in names
    assert not any(name.startswith("vllm:") for name in names)
