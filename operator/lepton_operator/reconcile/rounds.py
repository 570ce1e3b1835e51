"""Looks now and then whether everything that the watches hold still exists.

A watch that had to begin anew lists what there is, and never mentions what went in between. Such
an object would stay in the indices for ever, and nobody would make it again.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from lepton_operator.api.names import LABEL_MODEL
from lepton_operator.api.objects import AUTOSCALERS, CHILDREN, MODELS, PODS, Key, Object, Resource
from lepton_operator.cluster import ClusterError

EVERY = 600.0
SOON = 2.0
"""Seconds after a watch began anew; others are likely to do so too."""

AFTER_ERROR = 30.0

logger = logging.getLogger(__name__)


class Held(Protocol):
    """What the watches hold."""

    def held(self, resource: Resource) -> dict[str, set[Key]]:
        """Uids of all objects of a kind, and the models that each concerns."""

    def drop(self, uids: set[str]) -> None:
        """Hold them no longer."""


class Lister(Protocol):
    """Where the truth is."""

    async def heads(self, resource: Resource, namespace: str, selector: str = "") -> list[Object]:
        """The metadata of all objects of a kind; an empty namespace means all of them."""


class Rounds:
    """Goes round every ten minutes, and soon after a watch began anew."""

    def __init__(
        self, lister: Lister, held: Held, add: Callable[[Key], None], namespaces: Sequence[str]
    ) -> None:
        self._lister = lister
        self._held = held
        self._add = add
        self._namespaces = namespaces or ("",)
        self._asked = asyncio.Event()

    def soon(self) -> None:
        """A watch began anew."""
        self._asked.set()

    async def run(self) -> None:
        """Go round until cancelled."""
        pause = EVERY
        while True:
            try:
                await asyncio.wait_for(self._asked.wait(), pause)
                await asyncio.sleep(SOON)
            except TimeoutError:
                pass
            self._asked.clear()
            try:
                await self.once()
                pause = EVERY
            except ClusterError as error:
                logger.warning("cannot look what is gone: %s", error)
                pause = AFTER_ERROR
            except Exception:
                logger.exception("looking what is gone failed")
                pause = AFTER_ERROR

    async def once(self) -> None:
        """Look once; raises ClusterError."""
        for resource in (MODELS, *CHILDREN, PODS):
            # Before the listing: what comes while it runs is not missing.
            before = self._held.held(resource)
            gone = before.keys() - await self._there(resource)
            if not gone:
                continue
            logger.info("%d %s went unnoticed", len(gone), resource.plural)
            self._held.drop(set(gone))
            for key in set().union(*(before[uid] for uid in gone)):
                self._add(key)

    async def _there(self, resource: Resource) -> set[str]:
        selector = "" if resource in (MODELS, AUTOSCALERS) else LABEL_MODEL
        found: set[str] = set()
        for namespace in self._namespaces:
            heads = await self._lister.heads(resource, namespace, selector)
            found |= {str(head["uid"]) for head in heads}
        return found
