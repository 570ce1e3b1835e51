"""Keeps the authorities in our APIService in step with the certificates that are served."""

import logging
from collections.abc import Callable
from datetime import datetime

from lepton_operator.metrics import certificates
from lepton_operator.metrics.apiserver import ApiServer
from lepton_operator.metrics.keeping import Names
from lepton_operator.metrics.reflector import Latest
from lepton_operator.metrics.registration import (
    API_SERVICE,
    FIELD_MANAGER,
    Registration,
    State,
    registration,
    with_bundle,
)

log = logging.getLogger(__name__)

COLLECTION = "/apis/apiregistration.k8s.io/v1/apiservices"

FAREWELL = 600.0
"""Seconds that an authority stays named which is not wanted any more: the other replica may still
serve a certificate of it."""


class Registrar:
    """Writes one field of one object, and only while that object is ours."""

    def __init__(
        self,
        names: Names,
        server: ApiServer,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        farewell: float = FAREWELL,
    ) -> None:
        self._names, self._server, self._now, self._clock = names, server, now, clock
        self._farewell = farewell
        self.api_service = Latest(lambda: None)
        self.seen = Registration(State.ABSENT, "not looked at yet")
        self._named: tuple[bytes, float] | None = None
        self._parting_since: float | None = None

    async def name(self, authorities: bytes) -> None:
        """See to it that callers trust these authorities (PEM). Raises ApiError."""
        if not self.api_service.known:
            return
        found = self.api_service.object
        self._judge(registration(found, self._names.service, self._names.namespace))
        if found is None or self.seen.state is not State.OURS or not authorities:
            return
        present = self.seen.bundle
        keep = self._keep(authorities, present)
        wanted = certificates.bundle(authorities, present, self._now(), keep=keep)
        if not certificates.same(wanted, present):
            query = {"fieldManager": FIELD_MANAGER, "force": "true"}
            body = with_bundle(found, wanted)
            path = f"{COLLECTION}/{API_SERVICE}"
            self.api_service.object = await self._server.call("PATCH", path, query, body)
            log.info("APIService %s: authorities of our certificates written", API_SERVICE)
        if self._named is None or self._named[0] != authorities:
            self._named = (authorities, self._clock())

    def trusted_for(self, authorities: bytes) -> float | None:
        """Seconds since callers trust these authorities; None while they do not, endless where
        nobody calls us.
        """
        if self.seen.state is not State.OURS or not authorities:
            return float("inf")
        if self._named is None or self._named[0] != authorities:
            return None
        return self._clock() - self._named[1]

    def _keep(self, wanted: bytes, present: bytes) -> bool:
        """Whether authorities that are present, and not wanted any more, stay."""
        if certificates.contains(wanted, present):
            self._parting_since = None
        elif self._parting_since is None:
            self._parting_since = self._clock()
        since = self._parting_since
        return since is None or self._clock() - since < self._farewell

    def _judge(self, found: Registration) -> None:
        if (found.state, found.message) != (self.seen.state, self.seen.message):
            level = logging.INFO if found.state is State.OURS else logging.ERROR
            log.log(level, "%s", found.message)
        self.seen = found
