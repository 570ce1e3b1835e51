"""The three questions of the demo: ask, show the answer, show how to ask the same oneself."""

from collections.abc import Sequence

from lepton_demo import questions, texts
from lepton_demo.questions import Prompt
from lepton_demo.reach import Reach
from lepton_demo.screen import Screen, Step


class Asker:
    """Asks models and shows what they say."""

    def __init__(self, reach: Reach, screen: Screen) -> None:
        self._reach = reach
        self._screen = screen

    async def embed(self) -> None:
        """How alike are some sentences?"""
        async with self._reach.service(texts.ENCODER) as address:
            found = await questions.embed(address, texts.ENCODER, texts.SENTENCES)
        title = f"{texts.ENCODER}: {len(found.vectors)} sentences as vectors of {found.dimensions}"
        self._show(
            f"{title} numbers; cosine similarity of each pair",
            texts.similarity_lines(found.vectors),
            texts.call_lines(address, texts.EMBED),
        )

    async def classify(self, *, random_weights: bool) -> None:
        """What kind of text is this?"""
        async with self._reach.service(texts.CLASSIFIER) as address:
            labels = await questions.classify(address, texts.CLASSIFIER, texts.OPINION)
        self._show(
            f"{texts.CLASSIFIER}: labels with probabilities",
            texts.label_lines(labels, random_weights=random_weights),
            texts.call_lines(address, texts.CLASSIFY),
        )

    async def generate(self, step: Step, *, random_weights: bool) -> None:
        """How does this text go on?"""

        def so_far(text: str) -> None:
            step.note(f"{texts.WRITER}: {texts.printable(text)}")

        async with self._reach.service(texts.WRITER) as address:
            prompt = Prompt(texts.PROMPT, texts.NEW_TOKENS, ignore_eos=random_weights)
            written = await questions.generate(address, texts.WRITER, prompt, so_far)
        self._show(
            f"{texts.WRITER}: a continuation, streamed token by token",
            texts.written_lines(written, random_weights=random_weights),
            texts.call_lines(address, texts.generate_question(ignore_eos=random_weights)),
        )

    def _show(self, title: str, answer: Sequence[str], call: Sequence[str]) -> None:
        self._screen.show(["", f"  [bold]{title}[/]", *answer, *call])
