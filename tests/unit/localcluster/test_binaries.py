"""Programs are found where they are, and built once with the version their module pins."""

from pathlib import Path

import pytest

from localcluster import binaries
from localcluster.errors import Refused
from localcluster.paths import Cache
from localcluster.progress import Progress


def executable(path: Path, content: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)
    return path


def chest(cache: Cache, **environ: str) -> binaries.Binaries:
    return binaries.Binaries(cache, Progress(quiet=True), environ)


def test_the_version_is_the_one_the_module_pins() -> None:
    text = "module m\n\nrequire (\n\tx.io/other v9.9.9\n\tx.io/tool v1.2.3 // indirect\n)\n"
    assert binaries.pinned(text, "x.io/tool") == "1.2.3"
    assert binaries.pinned("module m\n\nrequire x.io/tool v2.0.0\n", "x.io/tool") == "2.0.0"
    with pytest.raises(Refused, match="does not require"):
        binaries.pinned(text, "x.io/absent")


def test_every_tool_pins_a_version() -> None:
    versions = {tool.name: binaries.version(tool) for tool in binaries.ALL}
    assert versions["kubernetes"].startswith("1.35.")
    assert versions["etcd"].startswith("3.6.")
    assert versions["helm"].startswith("4.")
    assert versions["registry"].startswith("3.")


def test_the_server_is_told_its_version() -> None:
    flags = binaries.linker_flags(binaries.KUBERNETES, "1.35.4")
    assert "-X k8s.io/component-base/version.gitVersion=v1.35.4" in flags
    assert "version.gitMajor=1 " in flags
    assert flags.endswith("version.gitMinor=35")


def test_a_folder_named_by_the_user_comes_first(cache: Cache, tmp_path: Path) -> None:
    theirs = executable(tmp_path / "assets" / "etcd")
    executable(chest(cache).folder(binaries.ETCD) / "etcd")
    found = chest(cache, KUBEBUILDER_ASSETS=str(theirs.parent)).find(binaries.ETCD, "etcd")
    assert found == theirs


def test_what_was_built_before_is_used(cache: Cache) -> None:
    built = executable(chest(cache).folder(binaries.ETCD) / "etcd")
    assert chest(cache).ensure(binaries.ETCD) == {"etcd": built}


@pytest.mark.parametrize(("said", "is_taken"), [("9.9.9", False), ("", False), (None, True)])
def test_the_path_counts_only_with_the_very_version(
    cache: Cache, tmp_path: Path, said: str | None, is_taken: bool
) -> None:
    shown = binaries.version(binaries.ETCD) if said is None else said
    installed = executable(tmp_path / "bin" / "etcd", f"#!/bin/sh\necho etcd Version: {shown}\n")
    found = chest(cache, PATH=str(installed.parent)).find(binaries.ETCD, "etcd")
    assert found == (installed if is_taken else None)


def test_without_go_what_is_missing_cannot_be_built(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="install Go"):
        chest(cache, PATH=str(tmp_path)).ensure(binaries.ETCD)
