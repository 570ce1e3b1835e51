"""Torch and transformers, one forward at a time; exact before fast (docs/adr/0005)."""
