"""What is asked of the models, and what is said around it. Sentences are ours. Markup is rich's."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from rich.markup import escape

from lepton_demo.questions import Written
from lepton_demo.site import python
from lepton_demo.vectors import Vector, closest, similarities, table

ENCODER = "minilm"
CLASSIFIER = "classifier"
WRITER = "writer"
MODELS = (ENCODER, CLASSIFIER, WRITER)

SENTENCES = (
    "The baker lights the oven long before sunrise.",
    "Warm bread is on the shelves by six in the morning.",
    "My bicycle has a flat tyre again.",
    "The back wheel needs a new tube.",
    "Two galaxies will merge in four billion years.",
)
OPINION = "An hour in the rain, and the concert was worth every minute."
PROMPT = "When the lighthouse went dark,"
NEW_TOKENS = 24

LOAD_SENTENCES = (
    "The night train left the station eleven minutes late and made up the time before the border.",
    "A good map shows what is there; a better one shows what matters to the person holding it.",
    "The committee agreed to meet again in spring, when the figures of the year would be known.",
    "Between the two rivers lies a strip of land so flat that the wind never stops there.",
    "She kept every letter in a tin box under the stairs and had not opened it for years.",
    "If the pump fails, close the upper valve first and only then switch off the motor.",
    "The orchard gave more apples than they could sell, so the whole village made cider.",
    "Nobody had written down the recipe, and everyone remembered it in a different way.",
)


@dataclass(frozen=True)
class Question:
    """A question as somebody else would ask it."""

    task: str
    method: str
    text: str
    request: object
    """Its JSON form."""


EMBED = Question("embed", "Text/Embed", SENTENCES[3], {"inputs": [SENTENCES[3]]})
CLASSIFY = Question("classify", "Text/Classify", OPINION, {"inputs": [OPINION]})

RANDOM_LABELS = "Random weights: the labels mean nothing; the road they took is real."
RANDOM_TEXT = "Random weights: the words mean nothing; they stream as a trained model's would."


def similarity_lines(vectors: Sequence[Vector]) -> list[str]:
    """The table of similarities and the pair that stands out."""
    matrix = similarities(vectors)
    one, other = closest(matrix)
    return [
        *(f"    {escape(row)}" for row in table(SENTENCES, matrix)),
        f"    Closest: {one + 1} and {other + 1} ({matrix[one][other]:.2f}), "
        "two sentences that share a meaning and hardly a word.",
    ]


def label_lines(labels: Sequence[tuple[str, float]], *, random_weights: bool) -> list[str]:
    """The best labels with their probabilities."""
    best = "  ".join(f"{escape(name)} {score:.3f}" for name, score in labels[:3])
    return [
        f"    “{escape(OPINION)}”",
        f"    → {best}",
        *([f"    [dim]{RANDOM_LABELS}[/]"] if random_weights else []),
    ]


def written_lines(written: Written, *, random_weights: bool) -> list[str]:
    """What the model wrote, in one line, and how fast."""
    speed = (
        f"{written.tokens} tokens, the first after {1000 * written.first_seconds:.0f} ms, "
        f"all after {1000 * written.total_seconds:.0f} ms"
    )
    return [
        f"    “{escape(PROMPT)}” → {escape(printable(written.text))}",
        f"    {speed}",
        *([f"    [dim]{RANDOM_TEXT}[/]"] if random_weights else []),
    ]


def call_lines(address: str, question: Question) -> list[str]:
    """The same question for grpcurl and for the example client."""
    body = shlex.quote(json.dumps(question.request, ensure_ascii=False))
    commands = (
        f"grpcurl -plaintext -d {body} {address} lepton.v1.{question.method}",
        f"{python()} examples/python_client.py {address} {question.task} "
        f"{shlex.quote(question.text)}",
    )
    return [f"    [cyan]{escape(command)}[/]" for command in commands]


def generate_question(*, ignore_eos: bool) -> Question:
    """The question to the generator."""
    sampling = {"maxNewTokens": NEW_TOKENS, **({"ignoreEos": True} if ignore_eos else {})}
    request = {"text": PROMPT, "sampling": sampling}
    return Question("generate", "Generation/Generate", PROMPT, request)


def printable(text: str) -> str:
    """Text in one line, without what a terminal would take for a command."""
    line = " ".join(text.split())
    return "".join(sign if sign.isprintable() and sign != "\ufffd" else "·" for sign in line)
