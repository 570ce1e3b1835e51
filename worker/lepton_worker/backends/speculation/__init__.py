"""Speculative decoding: tokens guessed ahead, of which a step keeps those that are right."""
