"""Decoders whose texts keep their keys and values in pages: for CUDA, and shown on a CPU."""
