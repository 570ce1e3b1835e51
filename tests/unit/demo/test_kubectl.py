"""Talking to kubectl: here to a script in its place, whose every run is known."""

import json
import os
from pathlib import Path

import pytest

from lepton_demo.errors import CommandFailed
from lepton_demo.kubectl import Kubectl


def event(kind: str, name: str) -> str:
    return json.dumps({"type": kind, "object": {"metadata": {"name": name}}})


def kubectl(folder: Path, script: str, context: str | None = None) -> Kubectl:
    """A kubectl that is this shell script, run in `folder`."""
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\ncd {folder}\n{script}\n")
    program.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return Kubectl({**os.environ, "PATH": path}, context, restart_seconds=0.0)


async def test_a_watch_that_ends_begins_again_with_what_exists(tmp_path: Path) -> None:
    script = f"""
        if [ ! -e again ]; then
            touch again; echo '{event("ADDED", "a")}'; echo '{event("ADDED", "b")}'; exit 1
        fi
        echo '{event("ADDED", "b")}'; echo '{event("ADDED", "c")}'; exec sleep 1000
    """
    async with kubectl(tmp_path, script).watch("pods") as watch:
        while watch.objects.get("c") is None:
            await watch.changed(10)
        assert [found["metadata"]["name"] for found in watch.objects.all()] == ["b", "c"]


async def test_the_context_is_named_in_every_command(tmp_path: Path) -> None:
    assert await kubectl(tmp_path, 'echo "$@"', "lab").run("get", "x") == "--context lab get x"
    assert await kubectl(tmp_path, 'echo "$@"').run("get", "x") == "get x"


async def test_manifests_go_through_standard_input(tmp_path: Path) -> None:
    assert await kubectl(tmp_path, "cat").run("create", "-f", "-", stdin="{}") == "{}"


async def test_a_query_is_encoded(tmp_path: Path) -> None:
    found = await kubectl(tmp_path, 'printf \'{"path": "%s"}\' "$3"').raw(
        "/apis/x", labelSelector="model=minilm"
    )
    assert found == {"path": "/apis/x?labelSelector=model%3Dminilm"}


async def test_an_answer_that_is_an_error_is_no_answer(tmp_path: Path) -> None:
    assert await kubectl(tmp_path, "echo NotFound >&2; exit 1").raw("/apis/x") is None
    with pytest.raises(CommandFailed, match="NotFound"):
        await kubectl(tmp_path, "echo NotFound >&2; exit 1").json("pods")


async def test_what_does_not_exist_has_no_name(tmp_path: Path) -> None:
    assert await kubectl(tmp_path, "echo namespace/x").exists("namespace", "x")
    assert not await kubectl(tmp_path, "true").exists("namespace", "x")
