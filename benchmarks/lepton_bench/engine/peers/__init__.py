"""Programs that run inside a peer's own environment; only the standard library is certain there."""
