"""Embeddings as numbers."""

import struct

import pytest

from lepton_demo.vectors import closest, cosine, decode, similarities, table


def test_values_are_little_endian_floats() -> None:
    assert decode(bytes.fromhex("0000803f000000c0")) == (1.0, -2.0)
    assert decode(struct.pack("<3f", 0.5, 0.25, 4)) == (0.5, 0.25, 4.0)


def test_similarity_is_of_direction_not_of_length() -> None:
    assert cosine((1, 0), (5, 0)) == pytest.approx(1)
    assert cosine((1, 0), (0, 3)) == pytest.approx(0)
    assert cosine((1, 2), (-2, -4)) == pytest.approx(-1)


def test_the_closest_pair_is_of_two_different_vectors() -> None:
    matrix = similarities([(1, 0), (0, 1), (0.1, 1)])
    assert closest(matrix) == (1, 2)


def test_the_table_shows_each_pair_once() -> None:
    lines = table(["one", "three"], [[1.0, 0.25], [0.25, 1.0]])
    assert lines[1].split() == ["1", "one", "1.00"]
    assert lines[2].split() == ["2", "three", "0.25", "1.00"]


def test_columns_stand_under_their_numbers() -> None:
    header, first, second = table(["a", "bb"], [[1.0, -0.25], [-0.25, 1.0]])
    assert len(header) == len(second)
    assert header.index("1") == first.rindex("1.00") + 3
