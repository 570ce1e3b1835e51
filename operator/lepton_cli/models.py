"""Models as their files describe them."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lepton_operator.api.types import LeptonModel

KIND = "LeptonModel"


class ModelError(ValueError):
    """A file without a usable model; the message names file, field and remedy."""


def read(path: Path) -> LeptonModel:
    """The one LeptonModel in a YAML file, which may hold other objects. Raises ModelError."""
    try:
        items = [item for item in yaml.safe_load_all(path.read_text()) if item]
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; give the file of a {KIND}") from None
    except yaml.YAMLError as error:
        raise ModelError(f"{path}: no YAML ({error}); give the file of a {KIND}") from None
    found = [item for item in items if isinstance(item, dict) and item.get("kind") == KIND]
    if len(found) != 1:
        raise ModelError(f"{path}: {len(found)} objects of kind {KIND}; give a file with one")
    return _checked(path, found[0])


def _checked(path: Path, item: dict[str, Any]) -> LeptonModel:
    try:
        return LeptonModel.model_validate(item)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{path}: {field}: {first['msg']}") from None
