"""The worker's metrics under the names that vLLM gives them, for what reads those alone.

The Gateway API inference extension, llm-d and common dashboards look for these names unless they
are told of others. Nothing is measured twice: a scrape renames the worker's own series.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lepton_worker.metrics import Metrics

ENGINE = "0"
"""Label `engine`: which of several engines of one server; a worker has one."""

BLOCK_TOKENS = 16
"""In which the size of the cache is told. Any length of a common prefix is used again."""

SAME = {
    "lepton_requests_waiting": "num_requests_waiting",
    "lepton_requests_running": "num_requests_running",
    "lepton_cache_usage_ratio": "kv_cache_usage_perc",
    "lepton_time_to_first_token_seconds": "time_to_first_token_seconds",
    "lepton_inter_token_latency_seconds": "inter_token_latency_seconds",
    "lepton_request_duration_seconds": "e2e_request_latency_seconds",
    "lepton_queue_duration_seconds": "request_queue_time_seconds",
    "lepton_prompt_tokens": "prompt_tokens",
    "lepton_generated_tokens": "generation_tokens",
    "lepton_texts_finished": "request_success",
    "lepton_evictions": "num_preemptions",
    "lepton_cache_queried_tokens": "prefix_cache_queries",
    "lepton_cached_tokens": "prefix_cache_hits",
}
"""Families by our name and theirs; of counters without `_total`."""

REASONS = {
    "stop": "stop",
    "tool_calls": "stop",
    "length": "length",
    "drained": "abort",
    "abort": "abort",
}
"""Why a text ended, by our word and theirs; what ended in an error is not among successes."""


@dataclass(frozen=True)
class Facts:
    """What is not in our own series. `cache_tokens` 0 is a cache without a bound, or none."""

    adapters: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    cache_tokens: int = 0


class VllmNames(Collector):
    """Asked whenever the registry is scraped."""

    def __init__(self, metrics: Metrics, facts: Callable[[], Facts]) -> None:
        self._metrics = metrics
        self._facts = facts

    def describe(self) -> list[Metric]:
        """Nothing before the first scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family under its other name."""
        for family in self._metrics.collect():
            if family.name in SAME:
                yield renamed(family, SAME[family.name])
        labels = {"model_name": self._metrics.model, "engine": ENGINE}
        yield from _told(self._facts(), labels)


def renamed(family: Metric, name: str) -> Metric:
    """A family under another name, its label `model` as theirs, `reason` in their words."""
    other = Metric(f"vllm:{name}", family.documentation, family.type)
    sums: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for sample in family.samples:
        ending = sample.name.removeprefix(family.name)
        labels = {"model_name": sample.labels["model"], "engine": ENGINE}
        if "le" in sample.labels:
            labels["le"] = sample.labels["le"]
        if "reason" in sample.labels:
            if sample.labels["reason"] not in REASONS:
                continue
            labels["finished_reason"] = REASONS[sample.labels["reason"]]
        key = (f"vllm:{name}{ending}", tuple(labels.items()))
        sums[key] = sums.get(key, 0.0) + sample.value
    for (sample_name, items), value in sums.items():
        other.add_sample(sample_name, dict(items), value)
    return other


def _told(facts: Facts, labels: dict[str, str]) -> Iterator[Metric]:
    adapters = Metric(
        "vllm:lora_requests_info", "When adapters in use were last looked at", "gauge"
    )
    used = {
        "max_lora": str(len(facts.adapters)),
        "running_lora_adapters": ",".join(facts.running),
        "waiting_lora_adapters": ",".join(facts.waiting),
    }
    adapters.add_sample(adapters.name, {**labels, **used}, time.time())
    yield adapters
    if facts.cache_tokens:
        cache = Metric("vllm:cache_config_info", "Size of the cache", "gauge")
        size = {
            "block_size": str(BLOCK_TOKENS),
            "num_gpu_blocks": str(facts.cache_tokens // BLOCK_TOKENS),
        }
        cache.add_sample(cache.name, {**labels, **size}, 1.0)
        yield cache
