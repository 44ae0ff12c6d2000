"""Fractions and Plackett-Burman designs: the catalogue, aliases by brute force, bad generators."""

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from ablate.design.fraction import CATALOGUE, Fraction, bits, choose, letters, members, screening
from ablate.errors import Mistake

ALL = [Fraction(k, its) for k, rows in CATALOGUE.items() for its in rows]


def test_half_of_a_2_4_by_hand():
    its = Fraction(4, ("D=ABC",))
    assert (its.runs, its.resolution, its.relation, its.base_included) == (8, 4, "I=ABCD", True)
    assert its.cells().tolist() == [
        [-1, -1, -1, -1],
        [1, -1, -1, 1],
        [-1, 1, -1, 1],
        [1, 1, -1, -1],
        [-1, -1, 1, 1],
        [1, -1, 1, -1],
        [-1, 1, 1, -1],
        [1, 1, 1, 1],
    ]
    assert ["=".join(map(letters, one)) for one in its.classes()] == ["A", "B", "C", "D", "AB=CD", "AC=BD", "AD=BC"]


def test_the_full_factorial_has_no_aliases():
    its = Fraction(3)
    assert (its.runs, its.p, its.resolution, its.relation) == (8, 0, None, "")
    assert its.cells()[:3].tolist() == [[-1, -1, -1], [1, -1, -1], [-1, 1, -1]]
    assert [letters(one) for (one,) in its.classes(3)] == ["A", "B", "C", "AB", "AC", "BC", "ABC"]


def test_oracles(shared: Path):
    designs = json.loads((shared / "statistics_oracles.json").read_text())["designs"]
    assert len(designs["fractions"]) == len(ALL) == 15
    for known in designs["fractions"]:
        its = Fraction(known["k"], tuple(known["generators"]))
        assert its in ALL
        assert (its.p, its.runs, its.resolution) == (known["p"], known["runs"], known["resolution"])
        assert (its.relation, its.base_included) == (known["defining_relation"], known["all_off_included"])
        assert ["=".join(map(letters, one)) for one in its.classes()] == known["alias_up_to_two"]
        assert known["cells"] is None or its.cells().tolist() == known["cells"]
    for known in designs["plackett_burman"]:
        rows = ["".join("+" if level > 0 else "-" for level in row) for row in screening(known["components_up_to"])]
        assert len(rows) == known["runs"]
        assert hashlib.sha256("\n".join(rows).encode()).hexdigest() == known["sha256_of_cells"]


@pytest.mark.parametrize("its", ALL, ids=lambda its: "_".join(its.generators))
def test_columns_are_orthogonal_and_aliases_are_equal_columns(its: Fraction):
    x = its.cells()
    assert (x.T @ x == its.runs * np.eye(its.k)).all()
    assert (x[-1] == 1).all(), "all on is a run"
    assert (x == -1).all(1).any() == its.base_included
    effects = [1 << j for j in range(its.k)] + [1 << i | 1 << j for i, j in itertools.combinations(range(its.k), 2)]
    equal: dict[tuple[int, ...], set[int]] = {}
    for effect in effects:
        equal.setdefault(tuple(its.column(effect)), set()).add(effect)
    assert {frozenset(one) for one in its.classes()} == {frozenset(one) for one in equal.values()}


def test_the_catalogue_by_resolution():
    runs = [[choose(k, resolution).runs for resolution in (3, 4, 5)] for k in range(3, 9)]
    assert runs == [[4, 8, 8], [8, 8, 16], [8, 16, 16], [8, 16, 32], [8, 16, 64], [16, 16, 64]]
    assert choose(2, 4) == Fraction(2)
    with pytest.raises(Mistake, match="ends at 8 components and there are 9"):
        choose(9, 4)


@pytest.mark.parametrize(
    ("generators", "why"),
    [
        (("D=AB", "D=AC"), "generate one component twice"),
        (("C=AB", "D=AB"), "give C and D the same column"),
        (("D=A",), "give A and D the same column"),
        (("D=AE",), "names E"),
        (("C=AB", "D=AC"), "builds on C"),
        (("D=AAB",), "must read like"),
        (("D",), "must read like"),
        (("D=-AB",), "names -"),
        (("E=AB",), "must read like"),
        (("d=ab",), "must read like"),
    ],
)
def test_bad_generators(generators: tuple[str, ...], why: str):
    with pytest.raises(Mistake, match=why):
        Fraction(4, generators)


def test_generators_of_ones_own():
    its = Fraction(4, ("B=ACD",))
    assert its.relation == "I=ABCD"
    x = its.cells()
    assert x[:, [0, 2, 3]].tolist() == [list(row) for row in Fraction(3).cells().tolist()]
    assert (x[:, 1] == x[:, 0] * x[:, 2] * x[:, 3]).all()
    assert members(bits("ACD")) == [0, 2, 3]


@pytest.mark.parametrize(("k", "runs", "sizes"), [(11, 12, {1 / 3}), (19, 20, {0.2, 0.6}), (23, 24, {0.0, 1 / 3})])
def test_plackett_burman(k: int, runs: int, sizes: set[float]):
    x = screening(k)
    assert x.shape == (runs, k)
    assert (x.T @ x == runs * np.eye(k)).all()
    assert (x[-1] == 1).all()
    carried = {
        round(abs(x[:, main] @ (x[:, i] * x[:, j])) / runs, 9)
        for main in range(k)
        for i, j in itertools.combinations(range(k), 2)
        if main not in (i, j)
    }
    assert carried == {round(size, 9) for size in sizes}
    assert (screening(5) == screening(11)[:, :5]).all()
    with pytest.raises(Mistake, match="at most 23"):
        screening(24)
    with pytest.raises(Mistake, match="5 or more components, not 4"):
        screening(4)


@pytest.mark.parametrize("k", range(5, 24))
def test_no_run_of_a_screening_repeats(k: int):
    rows = screening(k)
    assert len({tuple(row) for row in rows.tolist()}) == len(rows)
