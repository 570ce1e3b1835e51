"""Parts of a JSON text as they are written, their spelling kept."""

import json
import re

from lepton_worker.tasks.chat import json_object

SPACE = re.compile(r"\s*")
DECODER = json.JSONDecoder()


def members(text: str) -> dict[str, str] | None:
    """The members of a JSON object, each value as it is written; None if it is no object."""
    if json_object(text) is None:
        return None
    found: dict[str, str] = {}
    place = skip(text, skip(text, 0) + 1)
    while text[place] != "}":
        key, place = DECODER.raw_decode(text, place)
        start = skip(text, skip(text, place) + 1)
        end = value_end(text, start)
        assert end is not None, "the whole was JSON, so its parts are"
        found[key] = text[start:end]
        place = skip(text, end)
        place = skip(text, place + 1) if text[place] == "," else place
    return found


def value_end(text: str, start: int) -> int | None:
    """Where the JSON value that starts there ends, None if there is none."""
    try:
        return DECODER.raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return None


def skip(text: str, place: int) -> int:
    """The first place from there on that is no space."""
    found = SPACE.match(text, place)
    return place if found is None else found.end()
