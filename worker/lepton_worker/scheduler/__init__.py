"""Admission, order and batches, as plain objects without device, clock or await."""
