"""What the caller may choose."""

from pathlib import Path

import pytest

from lepton_demo import install, models, options
from lepton_demo.errors import Refused
from lepton_demo.options import Images


def test_without_words_everything_is_local() -> None:
    assert options.parse([], {}) == options.Options()


@pytest.mark.parametrize(
    ("words", "environ", "current"),
    [
        (["--use-current-cluster"], {}, True),
        ([], {"LEPTON_DEMO_CURRENT": "1"}, True),
        ([], {"LEPTON_DEMO_CURRENT": "0"}, False),
        ([], {"LEPTON_DEMO_CURRENT": ""}, False),
        (["--context", "lab"], {}, True),
    ],
)
def test_the_current_cluster_is_used_only_when_said(
    words: list[str], environ: dict[str, str], current: bool
) -> None:
    assert options.parse(words, environ).current is current


def test_images_count_only_together() -> None:
    assert options.parse(["--operator-image", "r/o:1"], {}).images is None
    both = options.parse(["--operator-image", "r/o:1", "--worker-image", "r/w:2"], {})
    assert both.images == Images("r/o:1", "r/w:2")


@pytest.mark.parametrize(
    ("given", "command"),
    [
        (options.Options(), "make demo-down"),
        (options.Options(cluster="two"), 'make demo-down ARGS="--cluster two"'),
        (options.Options(current=True), "make demo-down CLUSTER=current"),
        (
            options.Options(current=True, context="lab", namespace="mine"),
            'make demo-down CLUSTER=current ARGS="--context lab --namespace mine"',
        ),
    ],
)
def test_the_command_that_ends_it_names_the_same_place(
    given: options.Options, command: str
) -> None:
    assert given.down_command() == command


def test_nonsense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options.parse(["--callers", "0"], {})
    assert "must be at least 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("lepton-worker:1", ("lepton-worker", "1")),
        ("registry.example:5000/a/b:2.0", ("registry.example:5000/a/b", "2.0")),
    ],
)
def test_an_image_is_cut_into_repository_and_tag(reference: str, parts: tuple[str, str]) -> None:
    assert install.split(reference) == parts


@pytest.mark.parametrize("reference", ["lepton-worker", "registry.example:5000/worker"])
def test_an_image_without_tag_is_refused(reference: str) -> None:
    with pytest.raises(Refused, match="REPOSITORY:TAG"):
        install.split(reference)


def test_the_cache_follows_the_environment() -> None:
    assert models.cache({"LEPTON_CACHE_DIR": "/c"}) == Path("/c/demo-models")
    assert models.cache({"XDG_CACHE_HOME": "/x"}) == Path("/x/lepton/demo-models")
    assert models.cache({"HOME": "/h"}) == Path("/h/.cache/lepton/demo-models")
