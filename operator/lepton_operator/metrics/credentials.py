"""Certificate and front-proxy rules of the TLS port, in step with what the API server says."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lepton_operator.metrics import certificates
from lepton_operator.metrics.apiserver import ApiError, ApiServer
from lepton_operator.metrics.certificates import Pair
from lepton_operator.metrics.keeping import Keeper, Names, NoCertificate
from lepton_operator.metrics.reflector import Latest, Reflector, one
from lepton_operator.metrics.registrar import COLLECTION, FAREWELL, Registrar
from lepton_operator.metrics.registration import API_SERVICE, State
from lepton_operator.metrics.telemetry import Telemetry
from lepton_operator.metrics.trust import CONFIG_MAP, NAMESPACE, Trust, TrustUnknown, trust

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    """How the parts of a change follow each other, in seconds."""

    recheck: float = 10.0
    """Between two looks without a change."""

    handover: float = 30.0
    """Between naming an authority in the APIService and serving a certificate of it: every
    kube-apiserver learns of the former by a watch of its own."""

    farewell: float = FAREWELL


class Port(Protocol):
    """Where certificate and rules are put to use."""

    async def use(self, pair: Pair, trust: Trust | None) -> None:
        """From now on. Raises ValueError when they cannot be used."""


@dataclass(frozen=True)
class Tools:
    """What is not made here."""

    server: ApiServer
    port: Port
    now: Callable[[], datetime]
    clock: Callable[[], float]
    telemetry: Telemetry
    timing: Timing = Timing()


class Credentials:
    """Level-triggered: each pass compares what is there with what is in use, and acts."""

    def __init__(self, names: Names, tools: Tools) -> None:
        self._names, self._tools = names, tools
        self._changed = asyncio.Event()
        self._secret = Latest(self._changed.set)
        self._config_map = Latest(self._changed.set)
        self._keeper = Keeper(names, self._secret, tools.server, tools.now)
        self._registrar = Registrar(
            names, tools.server, tools.now, tools.clock, tools.timing.farewell
        )
        self._registrar.api_service.changed = self._changed.set
        self._serving: Pair | None = None
        self._trust: Trust | None = None
        self._troubles: dict[str, str] = {}

    async def run(self) -> None:
        """Watch and act until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors():
                group.create_task(reflector.run())
            while True:
                self._changed.clear()
                await self._pass()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._tools.timing.recheck):
                        await self._changed.wait()

    def checks(self) -> Mapping[str, str | None]:
        """What readiness depends on."""
        fault = certificates.fault(self._serving, self._names.dns, self._tools.now())
        rules = "ConfigMap not read yet" if not self._config_map.known else "unknown"
        return {
            "certificate": fault and self._troubles.get("certificate", fault),
            "front proxy": None if self._trust else self._troubles.get("front proxy", rules),
        }

    def notes(self) -> Mapping[str, str]:
        """What a reader of the readiness page should know besides."""
        return {"registration": self._registrar.seen.message, **self._troubles}

    def _reflectors(self) -> list[Reflector]:
        config_maps = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
        return [
            Reflector(
                server=self._tools.server,
                selection=one(what, path, name),
                sink=sink,
                clock=self._tools.clock,
                restarted=self._tools.telemetry.watch_failed(what.lower()),
            )
            for what, path, name, sink in (
                ("Secret", self._names.secrets, self._names.secret, self._secret),
                ("ConfigMap", config_maps, CONFIG_MAP, self._config_map),
                ("APIService", COLLECTION, API_SERVICE, self._registrar.api_service),
            )
        ]

    async def _pass(self) -> None:
        pair = self._serving
        try:
            pair = await self._keeper.pair() or pair
        except NoCertificate as error:
            self._note("certificate", str(error))
        else:
            self._note("certificate", "")
        if pair is not None:
            await self._register(pair)
            await self._use(pair)

    async def _register(self, pair: Pair) -> None:
        try:
            await self._registrar.name(pair.authorities)
        except ApiError as error:
            # 409: it changed since we looked; the watch brings the change, and the next pass.
            if error.code != 409:
                self._note("APIService", f"caBundle cannot be written: {error}")
        else:
            self._note("APIService", "")
        self._tools.telemetry.conflict.set(self._registrar.seen.state is State.FOREIGN)

    async def _use(self, pair: Pair) -> None:
        chosen, rules = (pair if self._may_serve(pair) else self._serving), self._rules()
        if chosen is None or (chosen == self._serving and rules == self._trust):
            return
        try:
            await self._tools.port.use(chosen, rules)
        except ValueError as error:
            self._note("certificate", str(error))
            return
        if chosen != self._serving:
            end = certificates.expiry(chosen)
            self._tools.telemetry.certificate_expiry.set(end.timestamp())
            log.info("serving a certificate that ends at %s", end)
        if rules != self._trust:
            log.info("front-proxy rules %s", "read" if rules else "lost: nobody is let in")
        self._serving, self._trust = chosen, rules

    def _may_serve(self, wanted: Pair) -> bool:
        """Whether callers trust it by now, or there is nothing to lose."""
        if certificates.fault(self._serving, self._names.dns, self._tools.now()):
            return True
        trusted_for = self._registrar.trusted_for(wanted.authorities)
        return trusted_for is not None and trusted_for >= self._tools.timing.handover

    def _rules(self) -> Trust | None:
        if not self._config_map.known:
            return None
        try:
            found = trust(self._config_map.object)
        except TrustUnknown as error:
            self._note("front proxy", str(error))
            return None
        self._note("front proxy", "")
        return found

    def _note(self, name: str, trouble: str) -> None:
        if not trouble:
            self._troubles.pop(name, None)
        elif self._troubles.get(name) != trouble:
            self._troubles[name] = trouble
            log.error("%s: %s", name, trouble)
