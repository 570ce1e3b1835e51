"""The CustomResourceDefinition, generated: `python -m lepton_operator.api.crd [--write]`.

Without an option the CRD goes to standard output; `--write` brings crds/ and the generated pages
of docs/ in this tree up to date.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from lepton_operator.api import reference
from lepton_operator.api.names import GROUP, KIND, PLURAL, VERSION
from lepton_operator.api.schema import Schema, structural
from lepton_operator.api.types import LeptonModel

HEADER = (
    "# Generated from operator/lepton_operator/api by `python -m lepton_operator.api.crd`; "
    "edit there.\n"
)

_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should "
    "convert recognized schemas to the latest internal value, and may reject unrecognized values."
)
_KIND = "Kind is a string value representing the REST resource this object represents."

_COLUMNS = (
    ("Task", "string", ".status.task", "What the model does."),
    ("Phase", "string", ".status.phase", "Activating, Serving or Failed."),
    ("Ready", "integer", ".status.readyReplicas", "Workers that serve."),
    ("Queue", "integer", ".status.queueDepth", "Requests in hand of all workers together."),
    ("Replicas", "integer", ".status.replicas", "Workers that exist."),
    ("Age", "date", ".metadata.creationTimestamp", "Time since the model was created."),
    ("Reason", "string", ".status.reason", "What is wrong; empty when nothing is."),
)


def definition() -> dict[str, Any]:
    """The CRD as an object."""
    names = {
        "kind": KIND,
        "listKind": f"{KIND}List",
        "plural": PLURAL,
        "singular": KIND.lower(),
        "shortNames": ["lm"],
        "categories": ["lepton"],
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path, "description": text}
            for name, kind, path, text in _COLUMNS
        ],
        "schema": {"openAPIV3Schema": schema()},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def schema() -> Schema:
    """Schema of a LeptonModel; of the metadata the API server takes bounds of the name only."""
    result = structural(LeptonModel)
    meta = {
        "apiVersion": {"type": "string", "description": _API_VERSION},
        "kind": {"type": "string", "description": _KIND},
        "metadata": {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 253}},
        },
    }
    properties = {**meta, "spec": result["properties"]["spec"]}
    properties["status"] = {
        key: value for key, value in result["properties"]["status"].items() if key != "default"
    }
    return {**result, "properties": properties, "required": ["spec"]}


def text() -> str:
    """The CRD as YAML."""
    return HEADER + yaml.safe_dump(definition(), sort_keys=False, width=120, allow_unicode=True)


def files() -> dict[str, str]:
    """Every generated file: path in the repository → content."""
    return {
        f"crds/{GROUP}_{PLURAL}.yaml": text(),
        "docs/reference/leptonmodel.md": reference.fields_page(schema()),
        "docs/failures.md": reference.failures_page(),
    }


def main(arguments: list[str] | None = None) -> None:
    """Print the CRD, or write all generated files."""
    parser = argparse.ArgumentParser(prog="python -m lepton_operator.api.crd", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write crds/ and docs/ of this tree")
    if not parser.parse_args(arguments).write:
        sys.stdout.write(text())
        return
    root = Path(__file__).resolve().parents[3]
    for path, content in files().items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
