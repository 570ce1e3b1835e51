"""The chat template that a model's folder brings, and the special tokens that it may name."""

import json
from pathlib import Path
from typing import Any

TEMPLATE = "chat_template.jinja"
CONFIG = "tokenizer_config.json"
KINDS = ("bos", "eos", "unk", "pad", "sep", "cls", "mask")


def chat_template(folder: Path) -> str:
    """The template in Jinja; "" where there is none. Of several named ones, `default`."""
    file = folder / TEMPLATE
    if file.is_file():
        return file.read_text()
    declared = _config(folder).get("chat_template") or ""
    if isinstance(declared, list):
        named = {item.get("name"): item.get("template", "") for item in declared}
        declared = named.get("default") or ""
    return str(declared)


def special_tokens(folder: Path) -> dict[str, str]:
    """Texts of the special tokens, by their names in templates."""
    config = _config(folder)
    found: dict[str, str] = {}
    for kind in KINDS:
        name = f"{kind}_token"
        value: Any = config.get(name)
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            found[name] = value
    return found


def _config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG
    content = json.loads(file.read_text()) if file.is_file() else {}
    return content if isinstance(content, dict) else {}
