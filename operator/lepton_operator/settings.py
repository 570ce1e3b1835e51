"""Settings of both processes, read from the environment once; the only reader of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}


class SettingsError(Exception):
    """A variable of the environment cannot be used; the message names it and the remedy."""


@dataclass(frozen=True)
class Settings:
    """What an installation decides; the table in docs/architecture.md explains each variable."""

    namespace: str = "lepton-system"
    watch_namespaces: tuple[str, ...] = ()
    """Namespaces to look after; empty means all of them."""

    worker_image: str = ""
    worker_image_gpu: str = ""
    """Image of workers with `resources.gpu`; the other one when the environment names none."""

    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    node_paths: bool = False
    """Whether `file://` sources are allowed."""

    log_level: str = "INFO"
    log_format: str = "text"
    health_port: int = 8080
    metrics_service: str = "lepton-metrics"
    metrics_port: int = 8443
    metrics_secret: str = "lepton-metrics-tls"
    metrics_external_tls: bool = False
    """Whether somebody else fills `metrics_secret` and renews it."""


def read(environment: Mapping[str, str]) -> Settings:
    """Settings from the variables; raises SettingsError for the first that cannot be used."""
    reader = _Reader(environment)
    image = reader.text("LEPTON_WORKER_IMAGE", "")
    return Settings(
        namespace=reader.name("LEPTON_NAMESPACE", "lepton-system"),
        watch_namespaces=reader.names("LEPTON_WATCH_NAMESPACES"),
        worker_image=image,
        worker_image_gpu=reader.text("LEPTON_WORKER_IMAGE_GPU", image),
        image_pull_policy=reader.choice(
            "LEPTON_IMAGE_PULL_POLICY", "IfNotPresent", ("IfNotPresent", "Always", "Never")
        ),
        image_pull_secrets=reader.entries("LEPTON_IMAGE_PULL_SECRETS"),
        node_paths=reader.truth("LEPTON_NODE_PATHS"),
        log_level=reader.choice(
            "LEPTON_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        ),
        log_format=reader.choice("LEPTON_LOG_FORMAT", "text", ("text", "json")),
        health_port=reader.port("LEPTON_HEALTH_PORT", 8080),
        metrics_service=reader.name("LEPTON_METRICS_SERVICE", "lepton-metrics"),
        metrics_port=reader.port("LEPTON_METRICS_PORT", 8443),
        metrics_secret=reader.text("LEPTON_METRICS_SECRET", "lepton-metrics-tls"),
        metrics_external_tls=reader.truth("LEPTON_METRICS_EXTERNAL_TLS"),
    )


@dataclass(frozen=True)
class _Reader:
    """Reads single variables; an empty one counts as not set."""

    environment: Mapping[str, str]

    def text(self, variable: str, default: str) -> str:
        return self.environment.get(variable, "").strip() or default

    def entries(self, variable: str) -> tuple[str, ...]:
        entries = self.text(variable, "").split(",")
        return tuple(dict.fromkeys(entry.strip() for entry in entries if entry.strip()))

    def choice(self, variable: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(variable, default)
        if value not in allowed:
            raise SettingsError(f"{variable} is {value!r}; set it to one of {', '.join(allowed)}")
        return value

    def truth(self, variable: str) -> bool:
        value = self.text(variable, "").lower()
        if value not in _TRUTH:
            raise SettingsError(f"{variable} is {value!r}; set it to true or false")
        return _TRUTH[value]

    def port(self, variable: str, default: int) -> int:
        value = self.text(variable, str(default))
        if not value.isascii() or not value.isdigit() or int(value) > 65535:
            raise SettingsError(f"{variable} is {value!r}; set it to a port, 0 to 65535")
        return int(value)

    def name(self, variable: str, default: str) -> str:
        return _checked(variable, self.text(variable, default))

    def names(self, variable: str) -> tuple[str, ...]:
        return tuple(_checked(variable, entry) for entry in self.entries(variable))


def _checked(variable: str, value: str) -> str:
    if not _NAME.fullmatch(value):
        raise SettingsError(f"{variable} has {value!r}, which no Kubernetes object can be named")
    return value
