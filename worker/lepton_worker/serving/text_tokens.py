"""Calls that need the tokenizer alone: Tokenize and Detokenize."""

from collections.abc import Sequence

from lepton.v1 import text_pb2
from lepton_worker.engine.worker import Worker
from lepton_worker.errors import Violation
from lepton_worker.model import Model
from lepton_worker.serving import convert, text_messages
from lepton_worker.serving.calls import Context
from lepton_worker.serving.text_run import beside, open_call
from lepton_worker.tasks.reading import MOST_CHARACTERS


async def tokenize(
    worker: Worker, request: text_pb2.TokenizeRequest, context: Context
) -> text_pb2.TokenizeResponse:
    """The model's tokens of each text; of an empty one, only those that the model adds."""
    with open_call(worker, "Tokenize", request.meta, context) as call:
        long = [
            Violation(f"inputs[{index}]", f"must have at most {MOST_CHARACTERS} characters")
            for index, text in enumerate(request.inputs)
            if len(text) > MOST_CHARACTERS
        ]
        convert.raise_for([*text_messages.counted(request.inputs, "inputs"), *long])
        results = await beside(_tokenized, call.model, request.inputs, not request.plain)
        return text_pb2.TokenizeResponse(results=results)


def _tokenized(model: Model, texts: Sequence[str], special: bool) -> list[text_pb2.Tokenized]:
    found = [model.tokenizer.pieces(text, special) for text in texts]
    return [
        text_pb2.Tokenized(
            token_ids=pieces.ids,
            starts=[start for start, _ in pieces.spans],
            ends=[end for _, end in pieces.spans],
            tokens=pieces.tokens,
        )
        for pieces in found
    ]


async def detokenize(
    worker: Worker, request: text_pb2.DetokenizeRequest, context: Context
) -> text_pb2.DetokenizeResponse:
    """The text of each list of tokens."""
    with open_call(worker, "Detokenize", request.meta, context) as call:
        vocabulary = call.model.vocabulary
        unknown = [
            Violation(f"inputs[{index}].ids", f"has {token}, and there are {vocabulary} tokens")
            for index, item in enumerate(request.inputs)
            for token in item.ids
            if not 0 <= token < vocabulary
        ]
        convert.raise_for([*text_messages.counted(request.inputs, "inputs"), *unknown])
        lists = [list(item.ids) for item in request.inputs]
        texts = await beside(_decoded, call.model, lists, request.special)
        return text_pb2.DetokenizeResponse(texts=texts)


def _decoded(model: Model, lists: Sequence[Sequence[int]], special: bool) -> list[str]:
    return [model.tokenizer.decode(ids, special) for ids in lists]
