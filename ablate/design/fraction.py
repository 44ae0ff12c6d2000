"""Two-level fractions: generators, defining relation, resolution, aliases (statistics.md 3.3), Plackett-Burman (3.4).

An effect is a set of letters, kept as bits (A = 1, B = 2, AB = 3); the product of two effects is their symmetric
difference, since a column times itself is 1.
"""

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ablate.errors import Mistake

LETTERS = string.ascii_uppercase
CATALOGUE: dict[int, list[tuple[str, ...]]] = {
    3: [("C=AB",)],
    4: [("D=ABC",)],
    5: [("E=ABCD",), ("D=AB", "E=AC")],
    6: [("F=ABCDE",), ("E=ABC", "F=BCD"), ("D=AB", "E=AC", "F=BC")],
    7: [
        ("G=ABCDEF",),
        ("F=ABCD", "G=ABDE"),
        ("E=ABC", "F=BCD", "G=ACD"),
        ("D=AB", "E=AC", "F=BC", "G=ABC"),
    ],
    8: [
        ("H=ABCDEFG",),
        ("G=ABCD", "H=ABEF"),
        ("F=ABC", "G=ABD", "H=BCDE"),
        ("E=BCD", "F=ACD", "G=ABC", "H=ABD"),
    ],
}  # components -> generators, all with sign +, so that "all on" is always a run; for p = 1, 2, ...
SCREENING = {12: "++-+++---+-", 20: "++--++++-+-+----++-", 24: "+++++-+-++--++--+-+----"}  # Plackett & Burman 1946

FEWEST = 5  # components of a screening


@dataclass(frozen=True)
class Fraction:
    """The 2^(k-p) fraction of a 2^k factorial; without generators the factorial itself."""

    k: int
    generators: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check(self.k, self.generators)

    @property
    def p(self) -> int:
        """Halvings of the full factorial."""
        return len(self.generators)

    @property
    def runs(self) -> int:
        """Cells per seed."""
        return 2 ** (self.k - self.p)

    @property
    def words(self) -> list[int]:
        """The defining relation: all products of the generators' words, shortest first; each is a column of ones."""
        return words(self.generators)

    @property
    def relation(self) -> str:
        """`I=ABCE=ADEF=BCDF`; empty for the full factorial."""
        return "=".join(["I", *map(letters, self.words)]) if self.p else ""

    @property
    def resolution(self) -> int | None:
        """Length of the shortest word; None for the full factorial. III: mains are aliased with two-way effects."""
        return min(word.bit_count() for word in self.words) if self.p else None

    @property
    def base_included(self) -> bool:
        """Whether "all off" is a run: each word is then a product of an even number of -1."""
        return all(word.bit_count() % 2 == 0 for word in self.words)

    def cells(self) -> np.ndarray:
        """The runs, (2^(k-p), k) of +1 on / -1 off; the first base factor varies fastest, the last run is all on."""
        made = {LETTERS.index(one[0]): bits(one[2:]) for one in self.generators}
        base = [j for j in range(self.k) if j not in made]
        row = np.arange(self.runs)
        columns = np.ones((self.runs, self.k), int)
        for place, j in enumerate(base):
            columns[:, j] = np.where(row >> place & 1, 1, -1)
        for j, word in made.items():
            columns[:, j] = columns[:, members(word)].prod(axis=1)
        return columns

    def classes(self, order: int = 2) -> list[tuple[int, ...]]:
        """Effects up to `order` that share a column, grouped: mains first, then by letters; clear ones stand alone."""
        found, seen = [], set()
        for effect in effects(self.k, order):
            if effect not in seen:
                same = sorted({effect, *(effect ^ word for word in self.words)}, key=rank)
                found.append(tuple(its for its in same if its.bit_count() <= order))
                seen.update(same)
        return found

    def column(self, effect: int) -> np.ndarray:
        """Levels of an effect over the cells, (runs,) of +1 and -1."""
        return self.cells()[:, members(effect)].prod(axis=1)


def check(k: int, generators: Sequence[str]) -> None:
    """Raises Mistake for generators that cannot be read or that give two effects of one letter the same column."""
    if k > len(LETTERS):
        raise Mistake(f"design: {k} components are more than the {len(LETTERS)} letters of a factorial")
    known = LETTERS[:k]
    left = [one[:1] for one in generators]
    for one in generators:
        if one[1:2] != "=" or one[0] not in known or not one[2:] or len(set(one[2:])) < len(one[2:]):
            raise Mistake(f"design.generators: {one!r} must read like 'D=ABC', with components lettered {known}")
        for letter in one[2:]:
            if letter not in known:
                raise Mistake(f"design.generators: {one!r} names {letter}, but the components are lettered {known}")
            if letter in left:
                raise Mistake(f"design.generators: {one!r} builds on {letter}, which is generated itself")
    if len(set(left)) < len(left):
        raise Mistake(f"design.generators: {', '.join(generators)} generate one component twice")
    short = [word for word in words(generators) if word.bit_count() < 3]
    if short:
        pair = " and ".join(letters(short[0]))
        raise Mistake(f"design.generators: {', '.join(generators)} give {pair} the same column; use other generators")


def choose(k: int, resolution: int) -> Fraction:
    """The fraction of the catalogue with the fewest runs and at least this resolution, else the full factorial.

    Raises Mistake for more components than the catalogue holds.
    """
    if k > max(CATALOGUE):
        raise Mistake(
            f"design: the catalogue of fractions ends at {max(CATALOGUE)} components and there are {k}; "
            "give design.generators, or use kind: screening"
        )
    fitting = [its for one in CATALOGUE.get(k, []) if ((its := Fraction(k, one)).resolution or 0) >= resolution]
    return min(fitting, key=lambda its: its.runs, default=Fraction(k))


def screening(k: int) -> np.ndarray:
    """The smallest Plackett-Burman design for k components, (N, k) of +1 on / -1 off, N = 12, 20 or 24.

    Rows are minus the generator row rotated right, then all on. Raises Mistake for more than 23 components, and for
    fewer than 5, where rows repeat.
    """
    if k < FEWEST:
        raise Mistake(
            f"design: screening needs {FEWEST} or more components, not {k}; use kind: factorial or fractional, "
            "which have fewer runs"
        )
    runs = next((n for n in SCREENING if n > k), None)
    if runs is None:
        raise Mistake(f"design: screening takes at most {max(SCREENING) - 1} components, not {k}")
    row = np.array([1 if mark == "+" else -1 for mark in SCREENING[runs]])
    rows = [-np.roll(row, i) for i in range(runs - 1)]
    return np.stack([*rows, np.ones(runs - 1, int)])[:, :k]


def bits(text: str) -> int:
    """`ABD` -> 0b1011."""
    return sum(1 << LETTERS.index(letter) for letter in text)


def letters(effect: int) -> str:
    """0b1011 -> `ABD`."""
    return "".join(LETTERS[j] for j in members(effect))


def members(effect: int) -> list[int]:
    """Positions of the letters of an effect."""
    return [j for j in range(effect.bit_length()) if effect >> j & 1]


def rank(effect: int) -> tuple[int, list[int]]:
    """Sorts effects: shorter first, then by letters."""
    return effect.bit_count(), members(effect)


def words(generators: Iterable[str]) -> list[int]:
    """All products of the generators' words (`D=ABC` has the word ABCD), shortest first."""
    found = {0}
    for one in generators:
        word = bits(one[0]) ^ bits(one[2:])
        found |= {word ^ its for its in found}
    return sorted(found - {0}, key=rank)


def effects(k: int, order: int) -> list[int]:
    """All effects of at most `order` of k letters: mains first, then by letters."""
    found = [0]
    for _ in range(order):
        found += [its | 1 << j for its in found for j in range(its.bit_length(), k)]
    return sorted(set(found) - {0}, key=rank)
