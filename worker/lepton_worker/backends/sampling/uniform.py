"""Random numbers that depend on a seed and a position, and on nothing else."""

import secrets
from hashlib import blake2b


def fresh_seed() -> int:
    """A seed for a request that names none."""
    return secrets.randbits(64)


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) for the token at `position` of the answer, 0 for the first.

    Counter-based, as in Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011), with
    BLAKE2b (RFC 7693) as the mixing function: no state, so that preemption and neighbours change
    nothing. The top 53 bits fill the mantissa of a double.
    """
    digest = blake2b(f"{seed}:{position}".encode(), digest_size=8).digest()
    return float(int.from_bytes(digest, "big") >> 11) * 2.0**-53
