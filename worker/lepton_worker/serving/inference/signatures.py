"""The inputs and outputs of a model, by its task."""

from dataclasses import dataclass

from lepton_worker.model import Model
from lepton_worker.request import Task
from lepton_worker.serving.inference.tensors import Spec

TEXT = ("BYTES",)
IDS = ("INT64", "INT32")
NUMBERS = ("FP32",)

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
    return _BY_TASK[model.task]


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
    Task.GENERATE: Signature(
        (Spec("text", TEXT, ROWS, aliases=("text_input", "prompt")), *_TOKENS),
        (Spec("text_output", TEXT, ROWS), Spec("finish_reason", TEXT, ROWS)),
    ),
}
