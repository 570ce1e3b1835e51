"""Which calls a model answers."""

from collections.abc import Callable
from dataclasses import dataclass

from lepton_worker.errors import TaskNotServed
from lepton_worker.model import Model
from lepton_worker.request import Task
from lepton_worker.tasks import sentiment

GENERATION, TEXT = "lepton.v1.Generation", "lepton.v1.Text"

Condition = Callable[[Model], bool]


@dataclass(frozen=True)
class Offer:
    """A call that models of a task answer, if they fulfil a condition; `needs` says it in words."""

    call: str
    task: Task
    needs: str
    condition: Condition = lambda model: True


def _mapped(model: Model) -> bool:
    return model.scoring != "none" and sentiment.scale(model.labels) is not None


def _writes(model: Model) -> bool:
    return model.encoder_decoder or bool(model.chat_template)


OFFERS = (
    Offer(f"{GENERATION}/Generate", Task.GENERATE, "a head for generation"),
    Offer(f"{GENERATION}/Chat", Task.GENERATE, "a chat template", lambda m: bool(m.chat_template)),
    Offer(f"{TEXT}/Classify", Task.CLASSIFY, "a head for whole texts"),
    Offer(f"{TEXT}/Sentiment", Task.CLASSIFY, "labels that name a sentiment", _mapped),
    Offer(
        f"{TEXT}/ClassifyZeroShot",
        Task.CLASSIFY,
        "a label whose name begins with entail",
        lambda model: model.entailment is not None,
    ),
    Offer(f"{TEXT}/Tag", Task.TAG, "a head for tokens"),
    Offer(f"{TEXT}/Embed", Task.EMBED, "task embed"),
    Offer(
        f"{TEXT}/Rerank",
        Task.CLASSIFY,
        "a classifier with one label",
        lambda model: len(model.labels) == 1,
    ),
    Offer(f"{TEXT}/Rerank", Task.EMBED, "task embed"),
    Offer(f"{TEXT}/Keywords", Task.EMBED, "task embed"),
    Offer(f"{TEXT}/Answer", Task.ANSWER, "a head for answers"),
    Offer(
        f"{TEXT}/Summarise", Task.GENERATE, "an encoder-decoder model or a chat template", _writes
    ),
    Offer(
        f"{TEXT}/Translate", Task.GENERATE, "an encoder-decoder model or a chat template", _writes
    ),
    Offer(
        f"{TEXT}/Score",
        Task.GENERATE,
        "a model that generates without an encoder",
        lambda model: not model.encoder_decoder,
    ),
)
ALWAYS = (f"{TEXT}/Tokenize", f"{TEXT}/Detokenize")
"""Calls that every model answers."""


def calls(model: Model) -> tuple[str, ...]:
    """The calls that a model answers, such as lepton.v1.Text/Embed, in the order of the table."""
    found = [
        offer.call for offer in OFFERS if offer.task in model.offers and offer.condition(model)
    ]
    return (*dict.fromkeys(found), *ALWAYS)


def task_of(model: Model, call: str) -> Task | None:
    """The task by which a model answers a call, its own one for calls that need none.

    None where it does not answer it.
    """
    if call in ALWAYS:
        return model.task
    tasks = [
        offer.task
        for offer in OFFERS
        if offer.call == call and offer.task in model.offers and offer.condition(model)
    ]
    return next(iter(tasks), None)


def refusal(model: Model, call: str, served: str) -> TaskNotServed:
    """Why a model does not answer a call, with those that it does answer."""
    offers = [offer for offer in OFFERS if offer.call == call]
    needs = " or ".join(dict.fromkeys(offer.needs for offer in offers))
    name = call.rsplit("/", 1)[-1]
    others = ", ".join(other.rsplit("/", 1)[-1] for other in calls(model))
    own = ""
    if model.labels and any(offer.task in model.offers for offer in offers):
        own = f"; its labels are {_listed(model.labels)}"
    return TaskNotServed(
        f"{served!r} is served for {model.task}, and {name} needs {needs}{own}; call {others}",
        metadata={
            "task": model.task,
            "asked": "/".join(dict.fromkeys(offer.task for offer in offers)),
            "calls": ",".join(calls(model)),
        },
    )


def _listed(labels: tuple[str, ...], most: int = 8) -> str:
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(labels[:most]) + more
