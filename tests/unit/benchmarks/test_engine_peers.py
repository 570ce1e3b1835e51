"""What peers are given: programs, forms of our models, requests."""

import math
from pathlib import Path

import numpy as np
import pytest

from lepton_bench.engine import environments
from lepton_bench.engine.environments import Source, Unavailable
from lepton_bench.engine.http_target import OpenAiTarget
from lepton_bench.engine.peer_names import (
    CPP_8,
    CPP_16,
    DECODER_PEERS,
    ENCODER_PEERS,
    ENGINES,
    PADDED,
    RIVALS,
    SERVERS,
)
from lepton_bench.engine.peers.gguf_form import gguf_name, interleaved
from lepton_bench.engine.workload import Item


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("model.embed_tokens.weight", "token_embd.weight"),
        ("lm_head.weight", "output.weight"),
        ("model.layers.11.mlp.up_proj.weight", "blk.11.ffn_up.weight"),
        ("model.layers.0.self_attn.o_proj.weight", "blk.0.attn_output.weight"),
        ("model.layers.3.post_attention_layernorm.weight", "blk.3.ffn_norm.weight"),
    ],
)
def test_names_of_tensors(ours: str, theirs: str) -> None:
    assert gguf_name(ours) == theirs


def test_turned_halves_and_turned_neighbours_are_the_same_numbers() -> None:
    heads, size, angle = 2, 6, 0.3
    weight = np.random.default_rng(1).normal(size=(heads * size, 4))
    column = np.array([1.0, -2.0, 0.5, 3.0])
    cos, sin = math.cos(angle), math.sin(angle)
    halves = (weight @ column).reshape(heads, 2, size // 2)
    turned = np.stack(
        [halves[:, 0] * cos - halves[:, 1] * sin, halves[:, 1] * cos + halves[:, 0] * sin], axis=-1
    )
    pairs = (interleaved(weight, heads) @ column).reshape(heads, size // 2, 2)
    expected = np.stack(
        [pairs[..., 0] * cos - pairs[..., 1] * sin, pairs[..., 1] * cos + pairs[..., 0] * sin],
        axis=-1,
    )
    assert np.allclose(turned, expected)


def test_a_program_that_cannot_be_compiled_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "PEERS", tmp_path)
    source = Source("some-package==1.2", within="vendor/x", target="server", flags=())
    assert source.folder == tmp_path / "some-package-1.2-source"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="there is no cmake"):
        source.ensure()
    source.program.parent.mkdir(parents=True)
    source.program.touch()
    source.ensure()  # it is there: nothing is needed


def test_groups_of_peers_name_peers() -> None:
    assert {*CPP_8, *CPP_16, *RIVALS, *ENGINES} <= set(DECODER_PEERS)
    assert {*PADDED, *SERVERS} <= set(ENCODER_PEERS)
    assert not set(RIVALS) & set(ENGINES)  # engines answer no load generator


async def test_fields_that_one_server_knows_are_sent_to_it_alone() -> None:
    plain, knowing = OpenAiTarget("http://x", "m"), OpenAiTarget("http://x", "m", {"a": True})
    item = Item("text", 1, 2)
    assert knowing.body(item) == {**plain.body(item), "a": True}
    await plain.close()
    await knowing.close()
