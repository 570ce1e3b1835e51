"""Pages: who gets which, who shares them, and what makes way."""

import random
from collections import Counter

import pytest

from lepton_worker.backends.native.paged.pages import SCRATCH, Copy, PagedText, PageTable
from lepton_worker.backends.native.prefix import WORTH, NoRoom

A, B = list(range(100)), list(range(200, 300))
PAGE = 8


def a_table(pages: int = 101, running: int = 4, cached: int = 8) -> PageTable:
    """SCRATCH, and so many pages less one."""
    return PageTable(pages, PAGE, running, cached)


def filled(table: PageTable, owner: str, ids: list[int], adapter: str = "") -> PagedText:
    """Begin a text and compute all of it."""
    text, _ = table.begin(owner, ids, adapter, len(ids) - 1)
    table.reserve(text, len(ids))
    text.known = len(ids)
    return text


@pytest.mark.parametrize(
    ("tokens", "pages"), [(1, 1), (PAGE - 1, 1), (PAGE, 1), (PAGE + 1, 2), (3 * PAGE, 3)]
)
def test_pages_for_tokens(tokens: int, pages: int) -> None:
    table = a_table()
    text, copy = table.begin("a", A, "", 0)
    assert (text.pages, copy) == ([], None)
    table.reserve(text, tokens)
    assert len(set(text.pages)) == table.held == pages
    assert SCRATCH not in text.pages
    table.reserve(text, max(1, tokens - 1))
    assert len(text.pages) == pages


def test_texts_begin_once_and_no_more_than_may_run() -> None:
    table = a_table(running=2)
    filled(table, "a", A)
    with pytest.raises(NoRoom):
        table.begin("a", A, "", 99)
    filled(table, "b", B)
    with pytest.raises(NoRoom, match="2 of 2"):
        table.begin("c", A, "", 99)


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize(
    ("shared", "whole", "copied"),
    [(WORTH, 2, 0), (WORTH + 1, 2, 1), (47, 5, 7), (48, 6, 0), (49, 6, 1), (99, 12, 3)],
)
def test_full_pages_are_shared_and_the_last_one_is_copied(
    shared: int, whole: int, copied: int, ended: bool
) -> None:
    table = a_table()
    first = filled(table, "a", A)
    if ended:
        table.end("a")
    held = table.held
    text, copy = table.begin("b", [*A[:shared], *B], "", shared + 99)
    assert text.known == shared
    assert text.pages[:whole] == first.pages[:whole]
    assert all(table.references(page) == 2 for page in text.pages[:whole])
    if copied:
        assert copy == Copy(first.pages[whole], text.pages[whole], copied)
        assert table.references(text.pages[whole]) == 1
    else:
        assert copy is None
    assert len(text.pages) == whole + bool(copied)
    assert table.held == held + bool(copied)


def test_never_all_of_a_text_is_known() -> None:
    table = a_table()
    filled(table, "a", A)
    table.end("a")
    text, copy = table.begin("b", list(A), "", 99)
    assert text.known == 99
    assert copy is not None


def test_a_whole_cached_prefix_is_gone_on_with_in_its_pages() -> None:
    table = a_table()
    first = filled(table, "a", A)
    pages = list(first.pages)
    table.end("a")
    text, copy = table.begin("b", [*A, 1, 2], "", 101)
    assert (text.pages, text.known, copy) == (pages, 100, None)


def test_many_answers_share_the_pages_of_their_prompt() -> None:
    table = a_table(running=5)
    filled(table, "0", A)
    for name in "1234":
        filled(table, name, [*A, 1])
    assert table.held == 13 + 4
    for name in "01234":
        table.end(name, keep=False)
    assert table.held == 0


def test_other_adapters_share_nothing_and_can_be_forgotten() -> None:
    table = a_table()
    filled(table, "a", A, "x")
    table.end("a")
    assert table.begin("b", [*A, 1], "y", 100)[0].known == 0
    table.forget("x")
    assert table.held == 0
    assert table.begin("c", [*A, 1], "x", 100)[0].known == 0


def test_short_and_spoilt_states_are_not_kept() -> None:
    table = a_table()
    filled(table, "a", A[: WORTH - 1])
    assert len(table.end("a")) == 2
    text = filled(table, "b", B)
    pages = list(text.pages)
    assert sorted(table.end("b", keep=False)) == sorted(pages)
    assert table.end("b") == []
    assert table.held == 0


def test_spoilt_pages_that_others_have_are_not_given_back() -> None:
    table = a_table()
    first = filled(table, "a", A)
    second = filled(table, "b", [*A[:48], *B])
    pages = second.pages[6:]
    assert sorted(table.end("b", keep=False)) == sorted(pages)
    assert all(table.references(page) == 1 for page in first.pages)


def test_pages_beyond_what_is_known_are_given_back_at_the_end() -> None:
    table = a_table()
    text, _ = table.begin("a", A, "", 99)
    table.reserve(text, 100)
    text.known = 41
    assert len(table.end("a")) == 13 - 6
    assert table.begin("b", [*A[:41], 1], "", 41)[0].known == 41


def test_the_longest_unused_prefix_makes_way_from_its_end() -> None:
    table = a_table(pages=1 + 26)
    for name, ids in (("a", A), ("b", B)):
        filled(table, name, ids)
        table.end(name)
    filled(table, "c", [5] * 40)
    assert table.held == 26
    assert table.begin("b", [*B, 1], "", 100)[0].known == 100
    text, copy = table.begin("a", [*A, 1], "", 100)
    assert (text.known, copy) == (64, None)


def test_without_anything_to_drop_nothing_changes() -> None:
    table = a_table(pages=1 + 20)
    first = filled(table, "a", A)
    table.end("a")
    running = filled(table, "b", [*A[:80], *B[:8]])
    text, _ = table.begin("c", B, "", 99)
    # Ten pages are shared with the running text, so the prefix can give no more than three.
    with pytest.raises(NoRoom, match="4 pages"):
        table.reserve(text, 13 * PAGE)
    assert (text.pages, first.known, len(running.pages), table.held) == ([], 100, 11, 14)
    table.reserve(text, 9 * PAGE)
    assert (first.known, table.held) == (80, 20)


def test_without_a_page_for_the_copy_full_pages_are_shared_alone() -> None:
    table = a_table(pages=1 + 13)
    filled(table, "a", A)
    text, copy = table.begin("b", [*A[:52], *B], "", 151)
    assert (text.known, len(text.pages), copy) == (48, 6, None)


def test_no_more_prefixes_are_kept_than_may_be() -> None:
    table = a_table(cached=2)
    for name in range(4):
        filled(table, str(name), [name] * 20)
        table.end(str(name))
    assert [table.begin("x", [name] * 21, "", 20)[0].known for name in (1,)] == [0]
    assert table.begin("y", [3] * 21, "", 20)[0].known == 20


def consistent(table: PageTable) -> None:
    """What has to hold after every act."""
    counted = Counter(page for text in table.texts for page in text.pages)
    assert SCRATCH not in counted
    assert len(counted) == table.held <= table.count - 1
    assert all(table.references(page) == counted[page] for page in range(table.count))
    for text in table.texts:
        assert text.known <= len(text.pages) * PAGE
        assert len(set(text.pages)) == len(text.pages)
        # Whoever may write to a page has it alone: all behind the last full page of what is known.
        assert all(counted[page] == 1 for page in text.pages[text.known // PAGE :] if text.running)


def test_pages_are_counted_right_and_hold_what_they_say_through_random_lives() -> None:
    drawn = random.Random(3)
    table = a_table(pages=1 + 22, running=3, cached=4)
    running: dict[int, list[int]] = {}
    content: dict[int, list[int | None]] = {page: [None] * PAGE for page in range(table.count)}
    reused = refused = 0
    for owner in range(3000):
        if len(running) < 3 and drawn.random() < 0.6:
            start = A[: drawn.choice([0, 16, 20, 45, 64])]
            running[owner] = [*start, *[owner] * drawn.randint(1, 60)]
            text, copy = table.begin(
                owner, running[owner], drawn.choice(["", "", "x"]), len(running[owner]) - 1
            )
            if copy is not None:
                content[copy.target][: copy.tokens] = content[copy.source][: copy.tokens]
            reused += text.known > 0
        for owned, ids in running.items():
            found = table.of(owned)
            assert found is not None
            end = min(len(ids), found.known + drawn.randint(1, 30))
            try:
                table.reserve(found, end)
            except NoRoom:
                refused += 1
                continue
            for place in range(found.known, end):
                content[found.pages[place // PAGE]][place % PAGE] = ids[place]
            found.known = end
        if running and drawn.random() < 0.6:
            gone = drawn.choice(list(running))
            table.end(gone, keep=drawn.random() < 0.8)
            del running[gone]
        if drawn.random() < 0.02:
            table.forget("x")
        consistent(table)
        for text in table.texts:
            held = [content[text.pages[n // PAGE]][n % PAGE] for n in range(text.known)]
            assert held == text.ids[: text.known]
    assert reused > 300
    assert refused > 20
    assert table.owned == len(running)
