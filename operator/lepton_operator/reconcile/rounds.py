"""Compares what the watches hold with what there is: once before the first pass, then now and then.

Before the first pass everything that exists has to be held, or a pass would take what it does not
see for missing. Later on, a watch that had to begin anew lists what there is, and never mentions
what went in between: such an object would stay for ever, and nobody would make it again.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from lepton_operator.api.objects import Key, Object, Resource
from lepton_operator.cluster import ClusterError
from lepton_operator.reconcile.watched import Watched

EVERY = 600.0
SOON = 2.0
"""Seconds after a watch began anew; others are likely to do so too."""

AFTER_ERROR = 30.0
LOOK, LOOK_AT_LEAST = 0.1, 1.0

logger = logging.getLogger(__name__)


class Held(Protocol):
    """What the watches hold."""

    def held(self, resource: Resource) -> dict[str, set[Key]]:
        """Uids of all objects of a kind, and the models that each concerns."""

    def remove(self, uid: str) -> set[Key]:
        """Hold it no longer; the models that it concerned."""


class Lister(Protocol):
    """Where the truth is."""

    async def heads(
        self, resource: Resource, namespace: str, query: Mapping[str, str]
    ) -> list[Object]:
        """The metadata of objects of a kind; an empty namespace means all of them."""


class Rounds:
    """Goes round every ten minutes, and soon after a watch began anew."""

    def __init__(
        self,
        lister: Lister,
        held: Held,
        watched: Sequence[Watched],
        namespaces: Sequence[str] = (),
        patience: float = 2.0,
    ) -> None:
        """`patience`: seconds between attempts while the API server is away at the start."""
        self._lister = lister
        self._held = held
        self._watched = watched
        self._namespaces = namespaces or ("",)
        self._patience = patience
        self._asked = asyncio.Event()

    def soon(self) -> None:
        """A watch began anew."""
        self._asked.set()

    async def until_complete(self) -> None:
        """Wait until all that there is is held, however long the API server is away."""
        missing, pause = list(self._watched), LOOK
        while missing:
            if await self._is_complete(missing[0]):
                missing.pop(0)
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LOOK_AT_LEAST)
        self._asked.clear()

    async def _is_complete(self, entry: Watched) -> bool:
        # Listed anew each time: what is deleted before the watch begins is never held.
        try:
            return await self._there(entry) <= self._held.held(entry.resource).keys()
        except ClusterError as error:
            logger.warning("cannot look what there is: %s", error)
            await asyncio.sleep(self._patience)
            return False

    async def run(self, add: Callable[[Key], None]) -> None:
        """Go round until cancelled; models that are concerned by what is gone need a pass."""
        pause = EVERY
        while True:
            try:
                await asyncio.wait_for(self._asked.wait(), pause)
                await asyncio.sleep(SOON)
            except TimeoutError:
                pass
            self._asked.clear()
            pause = EVERY if await self._try_once(add) else AFTER_ERROR

    async def _try_once(self, add: Callable[[Key], None]) -> bool:
        try:
            await self.once(add)
        except ClusterError as error:
            logger.warning("cannot look what is gone: %s", error)
        except Exception:
            logger.exception("looking what is gone failed")
        else:
            return True
        return False

    async def once(self, add: Callable[[Key], None]) -> None:
        """Look once; raises ClusterError."""
        for entry in self._watched:
            # Before the listing: what comes while it runs is not missing.
            before = self._held.held(entry.resource)
            gone = before.keys() - await self._there(entry)
            if gone:
                logger.info("%d %s went unnoticed", len(gone), entry.resource.plural)
            for uid in gone:
                for key in self._held.remove(uid) | before[uid]:
                    add(key)

    async def _there(self, entry: Watched) -> set[str]:
        found: set[str] = set()
        for namespace in self._namespaces if entry.namespaced else ("",):
            heads = await self._lister.heads(entry.resource, namespace, entry.query)
            found |= {str(head["uid"]) for head in heads}
        return found
