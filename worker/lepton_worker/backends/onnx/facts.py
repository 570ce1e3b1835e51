"""What config.json says of a model, read without its classes."""

from typing import Any

from lepton_worker.backends.lengths import POSITIONS, bounded

COUNTING_FROM_PADDING = frozenset(
    (
        "camembert",
        "data2vec-text",
        "esm",
        "ibert",
        "lilt",
        "longformer",
        "luke",
        "markuplm",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    )
)
"""Model types whose first position is the one behind the padding token's number."""
PADDING_OF_ROBERTA = 1
"""Its number where config.json says none: the default of all of them."""


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The part that describes the text model."""
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, dict) else config


def padding_of(config: dict[str, Any]) -> int | None:
    """The padding token; None where config.json has none."""
    value = config.get("pad_token_id")
    if value is None and config.get("model_type") in COUNTING_FROM_PADDING:
        return PADDING_OF_ROBERTA
    return value if isinstance(value, int) and value >= 0 else None


def longest_input(config: dict[str, Any], asked: int | None, declared: int | None) -> int:
    """Tokens of the longest input: `asked`, or what was built and declared.

    Raises InvalidSetting when more is asked for than the model has positions.
    """
    return bounded(asked, _positions(config), declared)


def _positions(config: dict[str, Any]) -> int | None:
    for name in POSITIONS:
        value = config.get(name)
        if isinstance(value, int) and value > 0:
            counts = config.get("model_type") in COUNTING_FROM_PADDING
            padding = padding_of(config)
            return value - padding - 1 if counts and padding is not None else value
    return None


def labels_of(config: dict[str, Any], count: int) -> tuple[str, ...]:
    """Names of `count` labels, in the order of the logits."""
    named = config.get("id2label")
    names = named if isinstance(named, dict) else {}
    return tuple(str(names.get(str(number), f"LABEL_{number}")) for number in range(count))


def named_labels(config: dict[str, Any]) -> int | None:
    """How many labels config.json names; None where it names none."""
    named = config.get("id2label")
    return len(named) if isinstance(named, dict) and named else None


def scoring_of(config: dict[str, Any], labels: int) -> str:
    """How logits become scores: softmax, sigmoid or none."""
    problem = config.get("problem_type")
    if problem == "regression":
        return "none"
    return "sigmoid" if labels == 1 or problem == "multi_label_classification" else "softmax"


def entailment_of(labels: tuple[str, ...]) -> int | None:
    """The label of an entailed text, known by its name."""
    found = (n for n, label in enumerate(labels) if label.lower().startswith("entail"))
    return next(found, None)
