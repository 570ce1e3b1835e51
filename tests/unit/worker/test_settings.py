"""Settings: where they come from, what they refuse, and in which words."""

import subprocess
import sys
from pathlib import Path

import pytest

from lepton_worker.errors import InvalidSetting
from lepton_worker.settings import (
    OPTIONS,
    Settings,
    names_service,
    read_settings,
    traces_wanted,
)


def test_flags_win_over_the_environment_and_both_over_defaults() -> None:
    settings = read_settings(
        {"task": "embed"}, {"LEPTON_SOURCE": "/m", "LEPTON_TASK": "classify", "LEPTON_DTYPE": ""}
    )
    assert settings == Settings(
        source="/m", task="embed", cache_dir=Path("~/.cache/lepton").expanduser()
    )


def test_every_field_can_be_set() -> None:
    assert set(OPTIONS) == set(Settings.__dataclass_fields__)


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("LEPTON_MODEL_NAME", "chat", "model_name", "chat"),
        ("LEPTON_MAX_BATCH_SIZE", "4", "max_batch_size", 4),
        ("LEPTON_MAX_QUEUE_DEPTH", "100000", "max_queue_depth", 100_000),
        ("LEPTON_NEIGHBOUR_FACTOR", "1.5", "neighbour_factor", 1.5),
        ("LEPTON_NEIGHBOUR_FACTOR", "none", "neighbour_factor", 0.0),
        ("LEPTON_NEIGHBOUR_FACTOR", "0", "neighbour_factor", 0.0),
        ("LEPTON_MAX_MODEL_LENGTH", "128", "max_model_length", 128),
        ("LEPTON_SPECULATION", "ngram", "speculation", "ngram"),
        ("LEPTON_SPECULATION_TOKENS", "5", "speculation_tokens", 5),
        ("LEPTON_GRPC_PORT", "0", "grpc_port", 0),
        ("LEPTON_DRAIN_SECONDS", "0.5", "drain_seconds", 0.5),
        ("LEPTON_CACHE_DIR", "/cache", "cache_dir", Path("/cache")),
        ("LEPTON_ECHO_DELAY_MS", "20", "echo_delay_ms", 20.0),
    ],
)
def test_variables_are_read(variable: str, text: str, field: str, value: object) -> None:
    settings = read_settings({}, {"LEPTON_SOURCE": "/m", variable: text})
    assert getattr(settings, field) == value


@pytest.mark.parametrize(
    ("flags", "environment", "words"),
    [
        ({}, {}, "no source: set LEPTON_SOURCE or --source"),
        (
            {"source": "/m", "speculation": "assistant"},
            {},
            "LEPTON_SPECULATION_MODEL names the assistant",
        ),
        (
            {"source": "/m"},
            {"LEPTON_SPECULATION": "ngram", "LEPTON_SPECULATION_MODEL": "/small"},
            "set both or neither",
        ),
        (
            {},
            {"LEPTON_TASK": "chat"},
            "LEPTON_TASK must be one of auto, generate, classify, tag, answer, embed",
        ),
        ({"task": "chat"}, {}, "--task must be one of"),
        ({}, {"LEPTON_MAX_BATCH_SIZE": "0"}, "LEPTON_MAX_BATCH_SIZE must be between 1 and 1024"),
        ({}, {"LEPTON_MAX_BATCH_SIZE": "many"}, "must be a number, not 'many'"),
        ({}, {"LEPTON_MAX_BATCH_SIZE": "1.5"}, "must be a number"),
        ({}, {"LEPTON_DRAIN_SECONDS": "nan"}, "must be between"),
        ({}, {"LEPTON_NEIGHBOUR_FACTOR": "0.5"}, "LEPTON_NEIGHBOUR_FACTOR must be between 1 and"),
        ({"grpc_port": "70000"}, {}, "--grpc-port must be between 0 and 65535"),
        ({}, {"LEPTON_BACKEND": "jax"}, "LEPTON_BACKEND must be one of"),
    ],
)
def test_what_is_wrong_is_said_with_its_name(
    flags: dict[str, str], environment: dict[str, str], words: str
) -> None:
    with pytest.raises(InvalidSetting, match=words):
        read_settings(flags, environment)


def test_echo_needs_no_source() -> None:
    assert read_settings({"backend": "echo"}, {}).source == ""


def test_help_and_bad_settings_do_not_import_torch() -> None:
    code = (
        "import sys; from lepton_worker.__main__ import command; sys.argv = ['x', *sys.argv[1:]]\n"
        "try: command()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'grpc'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    for arguments in (["--help"], ["samples", "--help"], ["--task", "x"]):
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4317"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_TRACES_EXPORTER": "none"}, False),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            True,
        ),
    ],
)
def test_traces_are_wanted_where_the_environment_names_a_collector(
    environment: dict[str, str], wanted: bool
) -> None:
    assert traces_wanted(environment) is wanted


@pytest.mark.parametrize(
    "name", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"]
)
def test_a_protocol_that_is_not_spoken_is_refused(name: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} must be grpc"):
        traces_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", name: "http/json"})


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "mine"}, True),
        ({"OTEL_RESOURCE_ATTRIBUTES": "team=a,service.name=mine"}, True),
        ({"OTEL_RESOURCE_ATTRIBUTES": "team=a"}, False),
    ],
)
def test_a_service_is_named_by_whoever_runs_it(environment: dict[str, str], named: bool) -> None:
    assert names_service(environment) is named
