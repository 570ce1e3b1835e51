"""How long an input may be, by what was asked for and what a model was built for."""

from lepton_worker.errors import InvalidSetting

UNBOUNDED = 8192
"""For models without a bound of their own, such as those with relative positions."""

POSITIONS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")
"""Under which names configs say how many positions there are."""


def bounded(
    asked: int | None, possible: int | None, declared: int | None, usual: int = UNBOUNDED
) -> int:
    """`asked`, or else the least of what is possible and declared, or else `usual`; in tokens.

    Raises InvalidSetting when more is asked for than is possible.
    """
    if asked is not None and possible is not None and asked > possible:
        raise InvalidSetting(
            f"a maximum model length of {asked} was asked for, and the model takes {possible} "
            "tokens; leave the setting out or lower it"
        )
    if asked is not None:
        return asked
    return min((bound for bound in (possible, declared) if bound), default=usual)
