"""The serving certificate in its Secret: read, and where that is our task, made and renewed."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from lepton_operator.metrics import certificates
from lepton_operator.metrics.apiserver import ApiError, ApiServer, Json
from lepton_operator.metrics.certificates import Pair
from lepton_operator.metrics.reflector import Latest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Names:
    """Which objects are ours."""

    namespace: str
    service: str
    secret: str
    external: bool = False
    """Whether somebody else fills the Secret."""

    @property
    def secrets(self) -> str:
        """Path of the collection the Secret is in."""
        return f"/api/v1/namespaces/{self.namespace}/secrets"

    @property
    def dns(self) -> tuple[str, ...]:
        """What the certificate is for."""
        return certificates.names(self.service, self.namespace)


class NoCertificate(Exception):
    """There is no certificate that could be served; the message says why and who has to act."""


@dataclass(frozen=True)
class Keeper:
    """Holds the Secret to what a serving certificate must be. Several may do so at once."""

    names: Names
    secret: Latest
    server: ApiServer
    now: Callable[[], datetime]

    async def pair(self) -> Pair | None:
        """The pair to serve; None while the Secret was not looked at yet. Raises NoCertificate."""
        if not self.secret.known:
            return None
        pair = certificates.from_secret(self.secret.object)
        fault = certificates.fault(pair, self.names.dns, self.now())
        if self.names.external:
            if pair is None or fault:
                raise NoCertificate(
                    f"the certificate in Secret {self.names.namespace}/{self.names.secret} cannot "
                    f"be served: {fault}; whoever fills it has to mend it, or leave it to Lepton "
                    f"(LEPTON_METRICS_EXTERNAL_TLS=false)"
                )
            return pair
        if pair and not fault and pair.authorities and not certificates.is_due(pair, self.now()):
            return pair
        log.info("making a new certificate: %s", fault or "a third of the old one's life is left")
        return await self._renewed()

    async def _renewed(self) -> Pair:
        """A new pair, written to the Secret; or the other replica's, if that one was faster."""
        pair = certificates.issued(self.names.dns, self.now())
        try:
            self.secret.object = await self._write(pair)
        except ApiError as error:
            if error.code == 409:
                return await self._theirs()
            raise NoCertificate(
                f"Secret {self.names.namespace}/{self.names.secret} cannot be written: {error}"
            ) from error
        return pair

    async def _write(self, pair: Pair) -> Json:
        """Create the Secret, or replace exactly the one that was judged."""
        old, data = self.secret.object, certificates.secret_data(pair)
        if old is None:
            metadata = {"namespace": self.names.namespace, "name": self.names.secret}
            body = _kind({"metadata": metadata, "type": "kubernetes.io/tls", "data": data})
            return await self.server.call("POST", self.names.secrets, body=body)
        body = _kind({**old, "data": {**(old.get("data") or {}), **data}})
        return await self.server.call("PUT", f"{self.names.secrets}/{self.names.secret}", body=body)

    async def _theirs(self) -> Pair:
        log.info("the other replica made a certificate first")
        try:
            found = await self.server.call("GET", f"{self.names.secrets}/{self.names.secret}")
        except ApiError as error:
            raise NoCertificate(f"the other replica's Secret cannot be read: {error}") from error
        self.secret.object = found
        pair = certificates.from_secret(found)
        fault = certificates.fault(pair, self.names.dns, self.now())
        if pair is None or fault:
            raise NoCertificate(f"the Secret changed meanwhile, and its certificate: {fault}")
        return pair


def _kind(body: Json) -> Json:
    # Items of a list carry neither.
    return {"apiVersion": "v1", "kind": "Secret", **body}
