"""Secret, APIService and front-proxy rules, brought into step with the TLS port."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from lepton_operator.metrics.apiserver import ApiError, Json
from lepton_operator.metrics.certificates import LIFE, Pair, from_secret, issued, secret_data
from lepton_operator.metrics.credentials import Credentials, Timing, Tools
from lepton_operator.metrics.keeping import Names
from lepton_operator.metrics.telemetry import Telemetry
from lepton_operator.metrics.trust import Trust
from lepton_testing.memory_api import MemoryApi

START = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
NAMES = Names("lepton-system", "lepton-metrics", "lepton-metrics-tls")
CONFIG_MAPS = "/api/v1/namespaces/kube-system/configmaps"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
API_SERVICE = "v1beta1.external.metrics.k8s.io"
PROXY = issued(["proxy"], START).authorities.decode()


@dataclass
class Clock:
    """Time as the test has it; whoever looks at it is noticed."""

    passed: float = 0.0
    looks: int = 0
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    def monotonic(self) -> float:
        return self.passed

    def now(self) -> datetime:
        self.looks += 1
        self.looked.set()
        return START + timedelta(seconds=self.passed)


@dataclass
class Port:
    """Writes down what it was told to use."""

    used: list[tuple[Pair, Trust | None]] = field(default_factory=list)
    told: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def use(self, pair: Pair, trust: Trust | None) -> None:
        async with self.told:
            self.used.append((pair, trust))
            self.told.notify_all()


@dataclass
class Replica:
    """One process' credentials at work."""

    credentials: Credentials
    port: Port
    clock: Clock

    @property
    def pair(self) -> Pair:
        return self.port.used[-1][0]

    async def until(self, reached: Callable[[], bool]) -> None:
        """Let it work until something holds; gives up loudly after five seconds."""
        async with asyncio.timeout(5):
            while not reached():
                self.clock.looked.clear()
                await self.clock.looked.wait()

    async def passes(self) -> None:
        """Let it look several times, so that what it does not do is seen."""
        enough = self.clock.looks + 20
        await self.until(lambda: self.clock.looks >= enough)


def a_config_map(authority: str = PROXY) -> Json:
    data = {
        "requestheader-client-ca-file": authority,
        "requestheader-allowed-names": json.dumps(["front-proxy-client"]),
        "requestheader-username-headers": json.dumps(["X-Remote-User"]),
    }
    return {"metadata": {"name": "extension-apiserver-authentication"}, "data": data}


def an_api_service(service: str = "lepton-metrics", bundle: bytes = b"") -> Json:
    spec: Json = {"service": {"namespace": "lepton-system", "name": service}}
    if bundle:
        spec["caBundle"] = base64.b64encode(bundle).decode()
    return {"metadata": {"name": API_SERVICE}, "spec": spec}


def a_secret(pair: Pair) -> Json:
    return {"metadata": {"name": NAMES.secret}, "data": secret_data(pair)}


def bundle(api: MemoryApi) -> bytes:
    return base64.b64decode(api.get(API_SERVICES, API_SERVICE)["spec"].get("caBundle") or "")


def a_cluster(*, registered: bool = True) -> MemoryApi:
    api = MemoryApi()
    api.put(CONFIG_MAPS, a_config_map())
    if registered:
        api.put(API_SERVICES, an_api_service())
    return api


@asynccontextmanager
async def a_replica(api: MemoryApi, clock: Clock, names: Names = NAMES) -> AsyncIterator[Replica]:
    """Credentials at work, until the block ends."""
    port = Port()
    tools = Tools(
        server=api,
        port=port,
        now=clock.now,
        clock=clock.monotonic,
        telemetry=Telemetry(CollectorRegistry()),
        timing=Timing(recheck=0.005, handover=30, farewell=600),
    )
    credentials = Credentials(names, tools)
    task = asyncio.create_task(credentials.run())
    try:
        yield Replica(credentials, port, clock)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def ready(replica: Replica) -> bool:
    return not any(replica.credentials.checks().values())


async def test_the_first_start_makes_a_certificate_and_names_its_authority() -> None:
    api, clock = a_cluster(), Clock()
    async with a_replica(api, clock) as replica:
        await replica.until(lambda: ready(replica))
        secret = api.get(NAMES.secrets, NAMES.secret)
        assert from_secret(secret) == replica.pair
        assert secret["type"] == "kubernetes.io/tls"
        assert bundle(api) == replica.pair.authorities
        assert replica.port.used[-1][1] is not None


async def test_an_empty_secret_is_filled() -> None:
    api, clock = a_cluster(), Clock()
    api.put(NAMES.secrets, {"metadata": {"name": NAMES.secret}, "data": {"note": "eA=="}})
    async with a_replica(api, clock) as replica:
        await replica.until(lambda: ready(replica))
        secret = api.get(NAMES.secrets, NAMES.secret)
        assert secret["data"]["note"] == "eA=="
        assert from_secret(secret) == replica.pair
        assert ("POST", NAMES.secrets) not in api.calls


async def test_a_good_certificate_is_taken_as_it_is() -> None:
    api, clock, pair = a_cluster(), Clock(), issued(NAMES.dns, START)
    api.put(NAMES.secrets, a_secret(pair))
    async with a_replica(api, clock) as replica:
        await replica.until(lambda: ready(replica))
        assert replica.pair == pair
        assert not any(method in ("POST", "PUT") for method, _ in api.calls)


async def test_two_replicas_that_start_together_share_one_certificate(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api, clock = a_cluster(), Clock()
    async with a_replica(api, clock) as one, a_replica(api, clock) as other:
        await one.until(lambda: ready(one) and ready(other))
        assert one.pair == other.pair
        assert bundle(api) == one.pair.authorities
        assert api.calls.count(("POST", NAMES.secrets)) == 2
        assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_renewal_names_the_new_authority_first_and_serves_it_later() -> None:
    api, clock = a_cluster(), Clock()
    async with a_replica(api, clock) as one, a_replica(api, clock) as other:
        await one.until(lambda: ready(one) and ready(other))
        old = one.pair
        clock.passed += LIFE.total_seconds() * 0.7

        def both_named() -> bool:
            return bundle(api).count(b"BEGIN") == 2

        await one.until(both_named)
        new = from_secret(api.get(NAMES.secrets, NAMES.secret))
        assert new is not None
        assert bundle(api) == new.authorities + old.authorities
        await one.passes()
        assert (one.pair, other.pair) == (old, old)
        clock.passed += 31
        await one.until(lambda: (one.pair, other.pair) == (new, new))
        assert both_named()
        clock.passed += 601
        await one.until(lambda: bundle(api) == new.authorities)
        await one.passes()
        assert bundle(api) == new.authorities


async def test_an_ended_certificate_is_replaced_at_once() -> None:
    api, clock = a_cluster(), Clock()
    async with a_replica(api, clock) as replica:
        await replica.until(lambda: ready(replica))
        old = replica.pair
        clock.passed += LIFE.total_seconds() + 1
        assert "valid from" in str(replica.credentials.checks()["certificate"])
        await replica.until(lambda: replica.pair != old and ready(replica))
        assert bundle(api) == replica.pair.authorities


async def test_a_foreign_api_service_is_reported_and_never_written() -> None:
    api, clock = a_cluster(registered=False), Clock()
    api.put(API_SERVICES, an_api_service("keda-operator-metrics-apiserver"))
    async with a_replica(api, clock) as replica:
        await replica.until(lambda: ready(replica))
        await replica.until(
            lambda: "MetricsAPIConflict" in replica.credentials.notes()["registration"]
        )
        await replica.passes()
        assert not any(method == "PATCH" for method, _ in api.calls)
        api.put(API_SERVICES, an_api_service())
        await replica.until(lambda: bundle(api) == replica.pair.authorities)
        assert replica.credentials.notes()["registration"].endswith("is ours")


async def test_a_bundle_that_somebody_empties_is_restored() -> None:
    api, clock = a_cluster(), Clock()
    async with a_replica(api, clock) as replica:
        await replica.until(lambda: ready(replica) and bool(bundle(api)))
        api.put(API_SERVICES, an_api_service())
        await replica.until(lambda: bundle(api) == replica.pair.authorities)


async def test_an_api_service_that_comes_later_is_filled() -> None:
    api, clock = a_cluster(registered=False), Clock()
    async with a_replica(api, clock) as replica:
        await replica.until(lambda: ready(replica))
        assert "does not exist" in replica.credentials.notes()["registration"]
        api.put(API_SERVICES, an_api_service())
        await replica.until(lambda: bundle(api) == replica.pair.authorities)


async def test_a_change_of_the_front_proxy_reaches_the_port() -> None:
    api, clock = a_cluster(), Clock()
    other = issued(["proxy"], START).authorities.decode()
    async with a_replica(api, clock) as replica:
        await replica.until(lambda: ready(replica))
        api.put(CONFIG_MAPS, a_config_map(other))
        await replica.until(lambda: getattr(replica.port.used[-1][1], "authorities", "") == other)


async def test_without_a_front_proxy_authority_nobody_is_let_in_and_it_is_not_ready() -> None:
    api, clock = a_cluster(), Clock()
    async with a_replica(api, clock) as replica:
        await replica.until(lambda: ready(replica))
        api.delete(CONFIG_MAPS, "extension-apiserver-authentication")
        await replica.until(lambda: replica.port.used[-1][1] is None)
        await replica.until(lambda: not ready(replica))
        assert "does not exist" in str(replica.credentials.checks()["front proxy"])
        api.put(CONFIG_MAPS, a_config_map())
        await replica.until(lambda: ready(replica))


async def test_a_secret_that_cannot_be_written_is_reported_with_its_name() -> None:
    api, clock = a_cluster(), Clock()
    api.denied["POST"] = ApiError(403, "secrets is forbidden")
    async with a_replica(api, clock) as replica:
        await replica.until(lambda: "certificate" in replica.credentials.notes())
        assert replica.credentials.checks()["certificate"] == (
            "Secret lepton-system/lepton-metrics-tls cannot be written: secrets is forbidden"
        )
        api.denied.clear()
        await replica.until(lambda: ready(replica))


async def test_a_bundle_that_cannot_be_written_is_reported() -> None:
    api, clock = a_cluster(), Clock()
    api.denied["PATCH"] = ApiError(403, "apiservices is forbidden")
    async with a_replica(api, clock) as replica:
        await replica.until(lambda: "APIService" in replica.credentials.notes())
        assert "apiservices is forbidden" in replica.credentials.notes()["APIService"]
        api.denied.clear()
        await replica.until(lambda: bundle(api) == replica.pair.authorities)
        await replica.until(lambda: "APIService" not in replica.credentials.notes())


async def test_somebody_elses_certificate_is_read_and_never_written() -> None:
    api, clock = a_cluster(), Clock()
    external = Names(NAMES.namespace, NAMES.service, NAMES.secret, external=True)
    async with a_replica(api, clock, external) as replica:
        await replica.until(lambda: "certificate" in replica.credentials.notes())
        assert "there is none" in replica.credentials.notes()["certificate"]
        first = issued(NAMES.dns, START)
        api.put(NAMES.secrets, a_secret(first))
        await replica.until(lambda: ready(replica))
        assert bundle(api) == first.authorities
        second = issued(NAMES.dns, START)
        api.put(NAMES.secrets, a_secret(second))
        await replica.until(lambda: bundle(api) == second.authorities + first.authorities)
        await replica.passes()
        assert replica.pair == first
        clock.passed += 31
        await replica.until(lambda: replica.pair == second)
        assert not any(path.startswith(NAMES.secrets) for m, path in api.calls if m != "GET")


async def test_somebody_elses_broken_certificate_leaves_the_working_one_in_use() -> None:
    api, clock = a_cluster(), Clock()
    external = Names(NAMES.namespace, NAMES.service, NAMES.secret, external=True)
    good = issued(NAMES.dns, START)
    api.put(NAMES.secrets, a_secret(good))
    async with a_replica(api, clock, external) as replica:
        await replica.until(lambda: ready(replica))
        api.put(NAMES.secrets, a_secret(Pair(good.authorities, good.certificate, b"no key")))
        await replica.until(lambda: "certificate" in replica.credentials.notes())
        assert ready(replica)
        assert replica.pair == good
