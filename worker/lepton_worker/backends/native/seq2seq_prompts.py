"""Prompts of about one length, read in one padded forward, and the first step of their answers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from lepton_worker.backends.native.grouping import by_padding
from lepton_worker.backends.native.seq2seq_cache import dynamic, tensors
from lepton_worker.backends.transformers.seq2seq import State

TOGETHER = 2048
"""Most tokens of prompts in one forward, padding included."""


def groups(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of prompts that are worth a forward together; those that are not are left out."""
    return [group for group in by_padding(lengths, [0] * len(lengths), TOGETHER) if len(group) > 1]


def read_together(
    module: Any, encoder: Any, prompts: Sequence[Sequence[int]], begun: Sequence[int], padding: int
) -> list[tuple[torch.Tensor, State]]:
    """The logits [1, vocabulary] behind the decoder's beginning, and the state, of each prompt."""
    device = module.device
    rows = [torch.tensor(prompt, device=device) for prompt in prompts]
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    ids = pad_sequence(rows, batch_first=True, padding_value=padding)
    mask = (torch.arange(ids.shape[1], device=device) < lengths[:, None]).long()
    read = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    logits = module(
        encoder_outputs=BaseModelOutput(last_hidden_state=read),
        attention_mask=mask,
        decoder_input_ids=torch.tensor([list(begun)], device=device).expand(len(prompts), -1),
        past_key_values=cache,
        use_cache=True,
    ).logits[:, -1:]
    answers, sources = tensors(cache.self_attention_cache), tensors(cache.cross_attention_cache)
    found = []
    for row, prompt in enumerate(prompts):
        count = len(prompt)
        alone = EncoderDecoderCache(
            dynamic([tensor[row : row + 1] for tensor in answers]),
            dynamic([tensor[row : row + 1, :, :count] for tensor in sources]),
        )
        own = BaseModelOutput(last_hidden_state=read[row : row + 1, :count])
        state = State(known=count, fed=len(begun), read=own, cache=alone)
        found.append((logits[row].float(), state))
    return found
