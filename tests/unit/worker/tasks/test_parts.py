"""Long texts in parts: nothing is lost, and sentences stay whole where they can."""

import pytest

from lepton_worker.tasks.parts import joint, parts


@pytest.mark.parametrize(
    ("text", "room", "expected"),
    [
        ("", 5, []),
        ("short", 5, ["short"]),
        ("One. Two. Three.", 10, ["One. Two. ", "Three."]),
        ("One two three four", 10, ["One two ", "three four"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("A title\nand more text", 12, ["A title\n", "and more ", "text"]),
        ("今天好。我们走吧。", 6, ["今天好。", "我们走吧。"]),
        # A sentence that ends early in the part is no reason to leave half of the room.
        ("A. bcd efg hij klm", 12, ["A. bcd efg ", "hij klm"]),
        ('He said: "Go!" And so on.', 16, ['He said: "Go!" ', "And so on."]),
        ("    ", 2, ["  ", "  "]),
    ],
)
def test_parts(text: str, room: int, expected: list[str]) -> None:
    found = parts(text, range(1, len(text) + 1), room)
    assert found == expected
    assert "".join(found) == text


@pytest.mark.parametrize("per_character", [1, 3])
@pytest.mark.parametrize("room", [1, 2, 7])
def test_no_part_has_too_many_tokens(room: int, per_character: int) -> None:
    text = "One two. Three four five! Six?\n\nSeven eight nine ten eleven."
    ends = [place + 1 for place in range(len(text)) for _ in range(per_character)]
    found = parts(text, ends, room)
    assert "".join(found) == text
    assert all(len(part) * per_character <= max(room, per_character) for part in found)


@pytest.mark.parametrize(
    ("part", "between"),
    [("One. ", " "), ("One.\n\n", "\n"), ("One. \n", "\n"), ("今天好。", ""), ("x\t", "\t")],
)
def test_what_was_between_parts_is_between_answers(part: str, between: str) -> None:
    assert joint(part) == between
