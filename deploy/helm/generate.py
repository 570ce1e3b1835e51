"""Writes the table of values in docs/install.md from the comments in the chart's values.yaml.

`deploy/helm/generate.py --check` writes nothing and fails where the table is stale.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "lepton"
PAGE = ROOT / "docs" / "install.md"
TABLE = re.compile(r"(<!-- values:[^\n]*-->\n).*?(<!-- end of values -->)", re.DOTALL)
MARK = "# -- "


@dataclass(frozen=True)
class Value:
    """One row of the table; `default` is JSON."""

    path: str
    default: str
    meaning: str


class Undocumented(Exception):
    """A value lacks its comment; the message names it."""


def documented(text: str) -> list[Value]:
    """Values of a values.yaml; a commented map is one value. Raises Undocumented."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode)
    return list(_walk(node, "", text.splitlines()))


def _walk(node: yaml.MappingNode, above: str, lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        path = f"{above}{key.value}"
        meaning = _comment(lines, key.start_mark.line)
        if meaning:
            yield Value(path, _default(value), meaning)
        elif isinstance(value, yaml.MappingNode) and value.value:
            yield from _walk(value, f"{path}.", lines)
        else:
            raise Undocumented(f"values.yaml: {path} lacks a comment that starts with {MARK!r}")


def _default(node: yaml.Node) -> str:
    plain = yaml.safe_load(yaml.serialize(node, Dumper=yaml.SafeDumper))
    return json.dumps(plain, ensure_ascii=False)


def _comment(lines: list[str], line: int) -> str:
    """Text of the comment block right above a line, from its mark on; empty without a mark."""
    block: list[str] = []
    for above in reversed(lines[:line]):
        if not (stripped := above.strip()).startswith("#"):
            break
        if stripped.startswith(MARK):
            return " ".join([stripped.removeprefix(MARK), *block])
        block.insert(0, stripped.removeprefix("# "))
    return ""


def table(values: list[Value]) -> str:
    """The values as a Markdown table."""
    rows = [f"| `{value.path}` | `{value.default}` | {value.meaning} |" for value in values]
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *rows]) + "\n"


def page() -> str:
    """docs/install.md with the table as it should be."""
    values = documented((CHART / "values.yaml").read_text(encoding="utf-8"))
    current = PAGE.read_text(encoding="utf-8")
    return TABLE.sub(lambda match: f"{match[1]}{table(values)}{match[2]}", current)


def main() -> int:
    """Write the page, or report that it is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where stale")
    check = parser.parse_args().check
    wanted = page()
    if check and PAGE.read_text(encoding="utf-8") != wanted:
        sys.stderr.write(f"{PAGE.relative_to(ROOT)} is stale: run make generate\n")
        return 1
    if not check:
        PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
