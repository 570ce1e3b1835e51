"""The inputs and outputs of a model, by its task."""

from dataclasses import dataclass

from lepton_worker.model import Model
from lepton_worker.request import Task
from lepton_worker.serving.inference.options import CALLS, CHAT_INPUTS, INPUTS
from lepton_worker.serving.inference.tensors import Spec

TEXT = ("BYTES",)
IDS = ("INT64", "INT32")
NUMBERS = ("FP32",)
COUNTS = ("UINT32",)

ROWS, TABLE = (-1,), (-1, -1)


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives."""

    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]


def signature(model: Model) -> Signature:
    """Of the task that the model is loaded for."""
    labels = len(model.labels)
    if model.task is Task.CLASSIFY:
        return Signature(
            (
                Spec("text", TEXT, ROWS),
                Spec("text_pair", TEXT, ROWS, optional=True),
                *_TOKENS,
            ),
            (
                Spec("label", TEXT, ROWS),
                Spec("score", NUMBERS, ROWS),
                Spec("probabilities", NUMBERS, (-1, labels)),
                Spec("logits", NUMBERS, (-1, labels)),
            ),
        )
    if model.task is Task.EMBED:
        # Fewer numbers where a request says so.
        return Signature(
            (Spec("text", TEXT, ROWS), *_TOKENS),
            (Spec("embedding", NUMBERS, (-1, model.dimensions or -1)),),
        )
    return _generating(model) if model.task is Task.GENERATE else _BY_TASK[model.task]


def _generating(model: Model) -> Signature:
    chat = (Spec("messages", TEXT, ROWS, optional=True), *CHAT_INPUTS)
    calls = (Spec(CALLS, TEXT, ROWS, optional=True),)
    chats = bool(model.chat_template)
    return Signature(
        (
            Spec("text", TEXT, ROWS, aliases=("text_input", "prompt")),
            *_TOKENS,
            *(chat if chats else ()),
            *INPUTS,
        ),
        (
            Spec("text_output", TEXT, ROWS),
            Spec("finish_reason", TEXT, ROWS),
            *(calls if chats else ()),
            Spec("cumulative_logprob", NUMBERS, ROWS, optional=True),
            Spec("logprobs", TEXT, ROWS, optional=True),
            Spec("num_input_tokens", COUNTS, ROWS, optional=True),
            Spec("num_output_tokens", COUNTS, ROWS, optional=True),
        ),
    )


_TOKENS = (
    Spec("input_ids", IDS, TABLE, optional=True),
    Spec("attention_mask", IDS, TABLE, optional=True),
)
_BY_TASK = {
    Task.TAG: Signature((Spec("text", TEXT, ROWS),), (Spec("entities", TEXT, ROWS),)),
    Task.ANSWER: Signature(
        (Spec("question", TEXT, ROWS), Spec("context", TEXT, ROWS)),
        (Spec("answer", TEXT, ROWS), Spec("score", NUMBERS, ROWS)),
    ),
}
