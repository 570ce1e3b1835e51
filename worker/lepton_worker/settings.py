"""Settings of a worker: names, defaults, bounds. The only reader of the environment."""

import argparse
import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lepton_worker.errors import InvalidSetting
from lepton_worker.scheduler.entries import NEIGHBOUR_FACTOR

T = TypeVar("T")

TASKS = ("auto", "generate", "classify", "tag", "answer", "embed")
BACKENDS = ("auto", "native", "transformers", "onnxruntime", "vllm", "echo")
QUANTIZATIONS = ("auto", "none", "float16", "int8", "int4", "bfloat16")
KVS = ("auto", "slots", "paged")
SPECULATIONS = ("auto", "none", "ngram", "assistant")
DTYPES = ("auto", "float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Settings:
    """What a worker is told. Field `x_y` is read from `LEPTON_X_Y` or the flag `--x-y`."""

    source: str = ""
    model_name: str = "model"
    task: str = "auto"
    backend: str = "auto"
    dtype: str = "auto"
    quantization: str = "auto"
    kv: str = "auto"
    cuda_graphs: str = "auto"
    speculation: str = "none"
    speculation_model: str = ""
    speculation_tokens: int = 0
    engine: str = "auto"
    device: str = "auto"
    threads: int | None = None
    max_batch_size: int = 8
    max_queue_depth: int = 256
    neighbour_factor: float = NEIGHBOUR_FACTOR
    max_model_length: int | None = None
    host: str = "[::]"
    grpc_port: int = 9000
    metrics_port: int = 9090
    cache_dir: Path = Path("~/.cache/lepton")
    drain_seconds: float = 60.0
    echo_delay_ms: float = 0.0
    termination_log: Path = Path("/dev/termination-log")
    log_level: str = "INFO"
    log_format: str = "text"
    metrics_aliases: str = "none"


@dataclass(frozen=True)
class Option:
    """How one setting is read and explained."""

    read: Callable[[str], Any]
    help: str


def _choice(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text

    return read


def _number(kind: Callable[[str], T], low: float, high: float) -> Callable[[str], T]:
    def read(text: str) -> T:
        try:
            value = kind(text)
        except ValueError:
            raise ValueError("must be a number") from None
        if not low <= float(text) <= high:
            raise ValueError(f"must be between {low:g} and {high:g}")
        return value

    return read


def _factor(text: str) -> float:
    if text in ("0", "none"):
        return 0.0
    return _number(float, 1, 100)(text)


def _text(text: str) -> str:
    return text


def _path(text: str) -> Path:
    return Path(text)


OPTIONS: dict[str, Option] = {
    "source": Option(
        _text, "folder in save_pretrained format, or hf://organisation/model@revision"
    ),
    "model_name": Option(_text, "name under which the model is served"),
    "task": Option(_choice(*TASKS), f"one of {', '.join(TASKS)}"),
    "backend": Option(_choice(*BACKENDS), f"one of {', '.join(BACKENDS)}"),
    "dtype": Option(_choice(*DTYPES), f"one of {', '.join(DTYPES)}"),
    "quantization": Option(_choice(*QUANTIZATIONS), f"of weights: {', '.join(QUANTIZATIONS)}"),
    "kv": Option(_choice(*KVS), f"where decoders keep keys and values: {', '.join(KVS)}"),
    "cuda_graphs": Option(_choice("auto", "off"), "for decode steps over pages: auto or off"),
    "speculation": Option(
        _choice(*SPECULATIONS), f"who guesses tokens ahead: {', '.join(SPECULATIONS)}"
    ),
    "speculation_model": Option(_text, "the assistant's folder or hf:// address"),
    "speculation_tokens": Option(
        _number(int, 0, 32), "most tokens guessed at a time; 0 is the worker's choice"
    ),
    "engine": Option(
        _choice("auto", "process", "thread"), "where it computes: a process of its own, or a thread"
    ),
    "device": Option(_choice("auto", "cpu", "cuda"), "one of auto, cpu, cuda"),
    "threads": Option(_number(int, 1, 1024), "threads for arithmetic; the CPU quota if not given"),
    "max_batch_size": Option(_number(int, 1, 1024), "most requests in one batch"),
    "max_queue_depth": Option(_number(int, 1, 100_000), "most requests that wait"),
    "neighbour_factor": Option(
        _factor, "how much longer busy tenants may make a step for a quiet one; 0 or none: no bound"
    ),
    "max_model_length": Option(_number(int, 1, 2**31 - 1), "longest input in tokens"),
    "host": Option(_text, "address to listen on"),
    "grpc_port": Option(_number(int, 0, 65535), "port of the gRPC server; 0 takes any free one"),
    "metrics_port": Option(_number(int, 0, 65535), "port of /metrics; 0 takes any free one"),
    "cache_dir": Option(_path, "writable folder for fetched models"),
    "drain_seconds": Option(_number(float, 0, 86_400), "time to finish what is in hand at the end"),
    "echo_delay_ms": Option(_number(float, 0, 3_600_000), "time of each step of the echo backend"),
    "termination_log": Option(_path, "file for the reason of a failed start, if it can be written"),
    "log_level": Option(_choice("DEBUG", "INFO", "WARNING", "ERROR"), "DEBUG to ERROR"),
    "log_format": Option(_choice("text", "json"), "text or json"),
    "metrics_aliases": Option(
        _choice("none", "vllm"), "whose names /metrics has besides our own: none or vllm"
    ),
}


def environment_name(setting: str) -> str:
    """Name of the environment variable of a setting."""
    return f"LEPTON_{setting.upper()}"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give a parser one flag for each setting; unset flags leave no trace in the namespace."""
    defaults = {item.name: item.default for item in dataclasses.fields(Settings)}
    for name, option in OPTIONS.items():
        flags = [f"--{name.replace('_', '-')}", *(["--port"] if name == "grpc_port" else [])]
        shown = "" if defaults[name] in ("", None) else f" (default: {defaults[name]})"
        text = f"{option.help}{shown} [{environment_name(name)}]".replace("%", "%%")
        parser.add_argument(*flags, dest=name, default=argparse.SUPPRESS, help=text, metavar="X")


def read_settings(flags: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Settings from flags, then environment, then defaults; raises InvalidSetting.

    An empty variable counts as not set.
    """
    values: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        variable = environment_name(name)
        text = flags.get(name, environment.get(variable, ""))
        if text == "":
            continue
        try:
            values[name] = option.read(text)
        except ValueError as error:
            flag = f"--{name.replace('_', '-')}"
            where = flag if name in flags else variable
            raise InvalidSetting(f"{where} {error}, not {text!r}") from None
    settings = Settings(**values)
    if not settings.source and settings.backend != "echo":
        raise InvalidSetting(
            "no source: set LEPTON_SOURCE or --source to a folder or hf:// address"
        )
    if (settings.speculation == "assistant") is not bool(settings.speculation_model):
        raise InvalidSetting(
            "LEPTON_SPECULATION_MODEL names the assistant of LEPTON_SPECULATION=assistant: "
            "set both or neither"
        )
    return dataclasses.replace(settings, cache_dir=settings.cache_dir.expanduser())


def termination_log(flags: Mapping[str, str], environment: Mapping[str, str]) -> Path:
    """Where last words go: known also when other settings cannot be read."""
    text = flags.get("termination_log") or environment.get(environment_name("termination_log"))
    return Path(text) if text else Settings.termination_log


def traces_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the standard environment of OpenTelemetry names a collector that is to get traces.

    Raises InvalidSetting for a protocol other than gRPC, the only one that the worker speaks.
    """
    endpoints = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if off or not any(map(environment.get, endpoints)):
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environment.get(name, "")
        if protocol not in ("", "grpc"):
            raise InvalidSetting(f"{name} must be grpc, not {protocol!r}")
    return True


def names_service(environment: Mapping[str, str]) -> bool:
    """Whether the standard environment of OpenTelemetry says what the service is called."""
    described = environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return bool(environment.get("OTEL_SERVICE_NAME")) or "service.name=" in described


def process_environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ


def direct_libraries(settings: Settings) -> None:
    """Tell libraries, before their import, where they may write and what to leave alone.

    The root file system is read-only in a pod: only the cache folder and /tmp take files.
    """
    cache = settings.cache_dir
    os.environ["HF_HOME"] = str(cache / "huggingface")
    os.environ["XDG_CACHE_HOME"] = str(cache)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache / "torchinductor")
    os.environ["TRITON_CACHE_DIR"] = str(cache / "triton")
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # Threads that wait must not take the quota from those that work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Its own threads would come on top of the ones that the CPU quota was divided among.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def direct_vllm() -> None:
    """Tell vLLM, before its import, to compute in this process, to log as we do, and no one else.

    It finds its folder for what it compiles by XDG_CACHE_HOME.
    """
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["VLLM_CONFIGURE_LOGGING"] = "0"
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
