"""How much state a decoder may keep: what the memory limit leaves, in tokens."""

HEADROOM = 0.15
"""Of the memory limit, left for activations, the front and everything that nobody counts."""
LEAST_TOKENS = 256


def cache_tokens(
    limit: int | None, held: int, token_bytes: int, slots: int, max_length: int
) -> int:
    """Tokens whose state fits: as many as the slots could ever need, or as the memory allows.

    All in bytes but the counts. At least LEAST_TOKENS: a worker without room for one short text is
    better told of by its first request than by none.
    """
    wanted = slots * max_length
    if limit is None:
        return wanted
    room = int(limit * (1 - HEADROOM)) - held
    return max(LEAST_TOKENS, min(wanted, room // max(1, token_bytes)))
