"""Writes the status of a model when it changed, then the events that the change is worth."""

import logging
import uuid
from dataclasses import dataclass, field
from datetime import datetime

from lepton_operator.api.names import API_VERSION, GROUP, KIND
from lepton_operator.api.objects import EVENTS, Key, Object
from lepton_operator.cluster import Cluster, ClusterError, NotFound, Rejected
from lepton_operator.status.news import News, news

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Written:
    """Status that we wrote last and the version that the model has since then."""

    uid: str
    version: str
    status: Object


@dataclass
class Reports:
    """Remembers what was written until the index shows it, lest a change be told twice."""

    cluster: Cluster
    instance: str
    """Who reports: name of the operator's pod."""

    _written: dict[Key, _Written] = field(default_factory=dict)

    def latest(self, key: Key, model: Object) -> Object:
        """The model with the status that we wrote last, where the index has not seen it yet."""
        written = self._written.get(key)
        if written is None or written.uid != model["metadata"]["uid"]:
            return model
        if not older(model["metadata"]["resourceVersion"], written.version):
            del self._written[key]
            return model
        return {**model, "status": written.status}

    async def report(self, key: Key, model: Object, status: Object, now: datetime) -> None:
        """Write the status if it differs from the model's; tell news only if that succeeded."""
        before = model.get("status") or {}
        if status == before:
            return
        try:
            answer = await self.cluster.write_status(model, status)
        except (NotFound, Rejected) as error:
            # Gone, or another model of that name: its own event brings the next pass.
            logger.debug("%s: status not written: %s", key, error)
            return
        metadata = answer["metadata"]
        self._written[key] = _Written(metadata["uid"], metadata["resourceVersion"], status)
        for item in news(before.get("conditions") or [], status["conditions"]):
            await self._tell(key, model, item, now)

    def forget(self, key: Key) -> None:
        """The model is gone."""
        self._written.pop(key, None)

    async def _tell(self, key: Key, model: Object, item: News, now: datetime) -> None:
        logger.info("%s: %s: %s", key, item.reason, item.note)
        try:
            await self.cluster.tell(self._event(model, item, now))
        except ClusterError as error:
            logger.warning("%s: event %s is lost: %s", key, item.reason, error)

    def _event(self, model: Object, item: News, now: datetime) -> Object:
        metadata = model["metadata"]
        regarding = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        }
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {
                "name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}",
                "namespace": metadata["namespace"],
            },
            "type": item.type,
            "reason": item.reason,
            "note": item.note,
            "action": "Reconcile",
            "regarding": regarding,
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": f"{GROUP}/operator",
            "reportingInstance": self.instance,
        }


def older(version: str, other: str) -> bool:
    """Whether a resource version is older; they grow like numbers, as Kubernetes promises."""
    return version.isdigit() and other.isdigit() and int(version) < int(other)
