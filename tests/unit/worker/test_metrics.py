"""Metrics as they are counted, and as others name them."""

import os

import pytest
from prometheus_client import CollectorRegistry

from lepton_worker.engine.messages import Report
from lepton_worker.limits import resident_bytes
from lepton_worker.metric_aliases import Facts, VllmNames
from lepton_worker.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("m", CollectorRegistry())


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"model": "m", **labels})


def test_evictions_go_on_counting_when_an_engine_is_replaced(metrics: Metrics) -> None:
    for evicted in (0, 2, 3, 1, 1):
        metrics.stepped(Report(evicted=evicted))
    assert value(metrics, "lepton_evictions_total") == 4


@pytest.mark.parametrize(
    ("code", "by"), [("CANCELLED", "client"), ("DEADLINE_EXCEEDED", "deadline"), ("OK", None)]
)
def test_who_ended_a_request_is_told(metrics: Metrics, code: str, by: str | None) -> None:
    metrics.answered(code, "" if code == "OK" else code)
    assert value(metrics, "lepton_requests_total", code=code) == 1
    counted = {
        whom: value(metrics, "lepton_requests_cancelled_total", by=whom)
        for whom in ("client", "deadline", "drain")
    }
    assert counted == {whom: float(whom == by) for whom in counted}


@pytest.mark.parametrize(("tokens", "count", "total"), [(0, 0, 0), (1, 0, 0), (5, 1, 0.5)])
def test_time_per_token_is_of_those_behind_the_first(
    metrics: Metrics, tokens: int, count: int, total: float
) -> None:
    metrics.text_ended("stop", tokens, 2.0)
    assert value(metrics, "lepton_texts_finished_total", reason="stop") == 1
    assert value(metrics, "lepton_time_per_output_token_seconds_count") == count
    assert value(metrics, "lepton_time_per_output_token_seconds_sum") == total


def test_gauges_are_read_when_they_are_asked_for(metrics: Metrics) -> None:
    now = {"waiting": 1.0, "running": 2.0, "oldest": 3.0}
    metrics.watch_queue(*(lambda name=name: now[name] for name in now))
    now["oldest"] = 4.0
    assert value(metrics, "lepton_requests_waiting") == 1
    assert value(metrics, "lepton_requests_running") == 2
    assert value(metrics, "lepton_queue_oldest_seconds") == 4


def test_memory_is_that_of_a_process() -> None:
    assert 2**20 < resident_bytes(os.getpid()) < 2**40
    assert resident_bytes(2**22 + 1) == 0


def test_the_cache_is_used_by_its_share(metrics: Metrics) -> None:
    metrics.stepped(Report(cache_used=25, cache_tokens=100))
    assert value(metrics, "lepton_cache_usage_ratio") == 0.25
    metrics.stepped(Report(cache_used=25))
    assert value(metrics, "lepton_cache_usage_ratio") == 0


# ------------------------------------------------------------------ names of others
OTHER = {"model_name": "m", "engine": "0"}


def test_reasons_are_told_in_their_words(metrics: Metrics) -> None:
    metrics.registry.register(VllmNames(metrics, Facts))
    for reason in ("stop", "tool_calls", "length", "drained", "abort", "error"):
        metrics.text_ended(reason, 1, 0.0)
    counted = {
        reason: metrics.registry.get_sample_value(
            "vllm:request_success_total", {**OTHER, "finished_reason": reason}
        )
        for reason in ("stop", "length", "abort", "error")
    }
    assert counted == {"stop": 2, "length": 1, "abort": 2, "error": None}


def test_histograms_keep_their_buckets(metrics: Metrics) -> None:
    metrics.registry.register(VllmNames(metrics, Facts))
    metrics.first_token.observe(0.3)
    name = "vllm:time_to_first_token_seconds"
    found = {
        bound: metrics.registry.get_sample_value(f"{name}_bucket", {**OTHER, "le": bound})
        for bound in ("0.25", "0.5", "+Inf")
    }
    assert found == {"0.25": 0, "0.5": 1, "+Inf": 1}
    assert metrics.registry.get_sample_value(f"{name}_sum", OTHER) == 0.3


def test_adapters_and_the_cache_are_told(metrics: Metrics) -> None:
    facts = Facts(("a", "b", "c"), running=("a", "b"), waiting=("c",), cache_tokens=1000)
    metrics.registry.register(VllmNames(metrics, lambda: facts))
    used = {"max_lora": "3", "running_lora_adapters": "a,b", "waiting_lora_adapters": "c"}
    told = metrics.registry.get_sample_value("vllm:lora_requests_info", {**OTHER, **used})
    assert told is not None
    assert told > 1.7e9
    size = {"block_size": "16", "num_gpu_blocks": "62"}
    assert metrics.registry.get_sample_value("vllm:cache_config_info", {**OTHER, **size}) == 1


def test_a_cache_without_a_bound_has_no_size(metrics: Metrics) -> None:
    names = [family.name for family in VllmNames(metrics, Facts).collect()]
    assert "vllm:cache_config_info" not in names
    assert "vllm:num_requests_waiting" in names
