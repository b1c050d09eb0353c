"""Two directions of links as one: by hand, and as the library thot joins them."""

import random

import pytest
from thot.common import WordAlignmentMatrix

from seq2seq.alignment.links import Link, parse_links
from seq2seq.alignment.symmetrization import SYMMETRIZATIONS

# Both have 0-0. From it the union grows to 1-1 across the diagonal, and from there to 2-1 and 2-2, which 1-1 precedes
# in the order of the candidates. 4-4 has free words on both sides but no neighbour, 5-4 then a free source word alone.
FORWARD = parse_links("0-0 1-1 2-2 4-4").sure
REVERSE = parse_links("0-0 2-1 5-4").sure

EXPECTED = {
    "none": "0-0 1-1 2-2 4-4",
    "reverse": "0-0 2-1 5-4",
    "intersection": "0-0",
    "union": "0-0 1-1 2-1 2-2 4-4 5-4",
    "grow_diag": "0-0 1-1 2-1 2-2",
    "grow_diag_final": "0-0 1-1 2-1 2-2 4-4 5-4",
    "grow_diag_final_and": "0-0 1-1 2-1 2-2 4-4",
}


@pytest.mark.parametrize("name", SYMMETRIZATIONS)
def test_two_directions_become_what_is_computed_by_hand(name: str) -> None:
    assert SYMMETRIZATIONS[name](FORWARD, REVERSE) == parse_links(EXPECTED[name]).sure


def test_diagonal_neighbours_count_and_words_that_are_taken_do_not_grow() -> None:
    join = SYMMETRIZATIONS["grow_diag"]
    assert join({(0, 0), (1, 1)}, {(0, 0)}) == {(0, 0), (1, 1)}
    assert join({(0, 0), (1, 1), (0, 1)}, {(0, 0), (1, 1)}) == {(0, 0), (1, 1)}


def as_matrix(links: set[Link], rows: int, columns: int) -> WordAlignmentMatrix:
    matrix = WordAlignmentMatrix(rows, columns)
    matrix.reset_all()
    for source, target in links:
        matrix.set(source, target)
    return matrix


LIBRARY = {
    "intersection": WordAlignmentMatrix.intersect,
    "union": WordAlignmentMatrix.union,
    "grow_diag": WordAlignmentMatrix.grow_diag,
    "grow_diag_final": WordAlignmentMatrix.grow_diag_final,
    "grow_diag_final_and": WordAlignmentMatrix.grow_diag_final_and,
}


@pytest.mark.parametrize("name", LIBRARY)
def test_random_links_are_joined_as_by_the_library(name: str) -> None:
    draw = random.Random(1)
    for _ in range(500):
        rows, columns = draw.randint(1, 9), draw.randint(1, 9)
        density = draw.random() / 2
        cells = [(i, j) for i in range(rows) for j in range(columns)]
        ours, theirs = ({cell for cell in cells if draw.random() < density} for _ in range(2))
        matrix = as_matrix(ours, rows, columns)
        LIBRARY[name](matrix, as_matrix(theirs, rows, columns))
        assert SYMMETRIZATIONS[name](ours, theirs) == {(i, j) for i, j in cells if matrix[i, j]}
