"""Which pages hold the state of which tokens, and who shares them: no tensors here.

A text has a table of pages, all full but the last one (PagedAttention, Kwon et al., 2023, arXiv
2309.06180). Texts that begin the same share their full pages, which are counted by reference; the
rest of the common tokens is copied to a page of the new text's own, so that nobody writes to a page
that another one reads. What a text leaves behind stays as a cached prefix until its memory is
needed: the one not used for longest makes way first, from its end.
"""

import itertools
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

from lepton_worker.backends.native.prefix import WORTH, NoRoom, common

SCRATCH = 0
"""A page of nobody's: rows that only fill a batch up write there."""


@dataclass(eq=False)
class PagedText:
    """A text's pages: they hold the state of the first `known` of `ids`.

    `running` says whether it has an owner, or is a cached prefix. `used` counts up with each use.
    """

    index: int
    ids: list[int] = field(default_factory=list)
    known: int = 0
    adapter: str = ""
    pages: list[int] = field(default_factory=list)
    running: bool = False
    used: int = 0


@dataclass(frozen=True)
class Copy:
    """The first `tokens` tokens of a page that have to be copied to another one."""

    source: int
    target: int
    tokens: int


class PageTable:
    """All pages, `count` of `page` tokens each, SCRATCH among them.

    At most `running` texts have owners, and at most `cached` prefixes are kept.
    """

    def __init__(self, count: int, page: int, running: int, cached: int) -> None:
        self.count, self.page, self.running, self.cached = count, page, running, cached
        self._free = list(range(count - 1, SCRATCH, -1))
        self._references: list[int] = [0] * count
        self._owned: dict[Hashable, PagedText] = {}
        self._prefixes: list[PagedText] = []
        self._numbers = itertools.count()
        self._clock = itertools.count(1)

    @property
    def owned(self) -> int:
        """How many texts run."""
        return len(self._owned)

    @property
    def held(self) -> int:
        """Pages that are taken, by running texts and cached prefixes."""
        return self.count - 1 - len(self._free)

    @property
    def texts(self) -> list[PagedText]:
        """All texts that have pages: running ones and cached prefixes."""
        return [*self._owned.values(), *self._prefixes]

    def references(self, page: int) -> int:
        """How many texts have a page."""
        return self._references[page]

    def of(self, owner: Hashable) -> PagedText | None:
        """The pages of a running text."""
        return self._owned.get(owner)

    def begin(
        self, owner: Hashable, ids: list[int], adapter: str, limit: int
    ) -> tuple[PagedText, Copy | None]:
        """Pages for a text with at most `limit` of its tokens known, and what has to be copied.

        Raises NoRoom.
        """
        if len(self._owned) >= self.running or owner in self._owned:
            raise NoRoom(f"{len(self._owned)} of {self.running} texts run")
        best, shared = self._longest(ids, adapter, limit)
        copy = None
        if best is not None and not best.running and best.known == shared:
            text = best
            self._prefixes.remove(best)
        else:
            text = PagedText(next(self._numbers))
            if best is not None:
                copy = self._share(text, best, shared)
        text.ids, text.adapter, text.running = ids, adapter, True
        text.used = next(self._clock)
        if best is not None:
            best.used = text.used
        self._owned[owner] = text
        return text, copy

    def reserve(self, text: PagedText, tokens: int) -> None:
        """Have pages for so many tokens of a text.

        Raises NoRoom, with nothing changed, when too little is cached that could make way.
        """
        missing = -(-tokens // self.page) - len(text.pages)
        if missing > 0:
            text.pages += self._take(missing, text)

    def end(self, owner: Hashable, keep: bool = True) -> list[int]:
        """Take a running text's pages back; its state stays as a cached prefix, if wanted.

        Returns the pages that nobody has any more.
        """
        text = self._owned.pop(owner, None)
        if text is None:
            return []
        text.running, text.used = False, next(self._clock)
        if not keep or text.known < WORTH:
            return self._cut(text, 0)
        text.ids = text.ids[: text.known]
        freed = self._cut(text, -(-text.known // self.page))
        self._prefixes.append(text)
        if len(self._prefixes) > self.cached:
            oldest = min(self._prefixes, key=lambda text: text.used)
            self._prefixes.remove(oldest)
            freed += self._cut(oldest, 0)
        return freed

    def forget(self, adapter: str) -> None:
        """Drop the cached prefixes of an adapter."""
        for text in [text for text in self._prefixes if text.adapter == adapter]:
            self._prefixes.remove(text)
            self._cut(text, 0)

    def _share(self, text: PagedText, best: PagedText, shared: int) -> Copy | None:
        """Give a text another one's first tokens; without a page for the last few, without them."""
        whole, rest = divmod(shared, self.page)
        text.pages, text.known = best.pages[:whole], whole * self.page
        for page in text.pages:
            self._references[page] += 1
        if not rest:
            return None
        try:
            (target,) = self._take(1, best)
        except NoRoom:
            return None
        text.pages.append(target)
        text.known = shared
        return Copy(best.pages[whole], target, rest)

    def _take(self, count: int, spared: PagedText) -> list[int]:
        """Free pages, for which cached prefixes other than the spared one may have to make way."""
        if count > len(self._free):
            self._make_way(count - len(self._free), spared)
        taken = [self._free.pop() for _ in range(count)]
        for page in taken:
            self._references[page] = 1
        return taken

    def _make_way(self, missing: int, spared: PagedText) -> None:
        """Free pages of cached prefixes, last pages first; raises NoRoom with nothing changed."""
        others = [text for text in self._prefixes if text is not spared]
        shares = Counter(page for text in others for page in text.pages)
        freeable = sum(shares[page] == self._references[page] for page in shares)
        if freeable < missing:
            raise NoRoom(f"{missing - freeable} pages of {self.page} tokens are missing")
        for text in sorted(others, key=lambda text: text.used):
            while missing > 0 and text.pages:
                missing -= len(self._cut(text, len(text.pages) - 1))
            if text.known < WORTH:
                self._prefixes.remove(text)
                missing -= len(self._cut(text, 0))
            if missing <= 0:
                return

    def _cut(self, text: PagedText, keep: int) -> list[int]:
        """Take a text's pages behind the first `keep`; those that nobody has now are returned."""
        gone, text.pages = text.pages[keep:], text.pages[:keep]
        text.known = min(text.known, keep * self.page)
        if not text.running:
            text.ids = text.ids[: text.known]
        freed = []
        for page in reversed(gone):
            self._references[page] -= 1
            if not self._references[page]:
                freed.append(page)
        self._free += freed
        return freed

    def _longest(self, ids: list[int], adapter: str, limit: int) -> tuple[PagedText | None, int]:
        """The text that shares most with another one, and how many tokens it shares."""
        shared = {
            text: common(text.ids, ids, min(text.known, limit))
            for text in self.texts
            if text.adapter == adapter and text.known >= WORTH
        }
        best = max(
            (text for text, count in shared.items() if count),
            # Among equals one whose pages can be gone on with, then the one used last.
            key=lambda text: (
                shared[text],
                not text.running and text.known == shared[text],
                text.used,
            ),
            default=None,
        )
        return best, shared[best] if best else 0
