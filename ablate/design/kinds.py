"""The kinds of a design: from components to arms and contrasts (statistics.md 3.1)."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ablate.design.arms import BASE, FULL, Arm, Contrast, cell, difference, switched
from ablate.design.components import Component, same, value_at
from ablate.design.fraction import Fraction, choose, letters, members, screening
from ablate.design.options import Design
from ablate.errors import Mistake

LARGEST = 4096  # arms that a design may have


@dataclass(frozen=True)
class Layout:
    """What a kind makes of its components."""

    arms: tuple[Arm, ...]
    contrasts: tuple[Contrast, ...]
    reference: str | None = None  # the arm that all others are compared with
    fraction: Fraction | None = None  # of a factorial kind


def layout(design: Design, components: tuple[Component, ...], base: dict[str, Any]) -> Layout:
    """Arms and contrasts of a design; `base` is the study's configuration in plain form. Raises Mistake."""
    match design.kind:
        case "leave_one_out":
            return leave_one_out(components, design.include_base)
        case "add_one_in":
            return add_one_in(components)
        case "cumulative":
            return cumulative(components)
        case "factorial":
            return factorial(components, Fraction(len(components)), design.order)
        case "fractional":
            return factorial(components, fraction(design, components))
        case "screening":
            return screened(components)
        case "path":
            return ends(components)
        case "grid":
            return grid(components, base)


def leave_one_out(components: Sequence[Component], include_base: bool) -> Layout:
    """`full`, and one arm without each component: what is lost without it when all others are on."""
    full = every(components, True)
    arms = [switched(components, {**on(components), its.name: False}, f"no_{its.name}") for its in components]
    contrasts = [difference(arm, full, its.name) for arm, its in zip(arms, components, strict=True)]
    if include_base and len(components) > 1:
        arms.append(every(components, False))
        contrasts.append(difference(arms[-1], full, claim=False))
    return Layout((full, *arms), tuple(contrasts), FULL)


def add_one_in(components: Sequence[Component]) -> Layout:
    """`base`, and one arm with each component alone: what it brings when all others are off."""
    base = every(components, False)
    off = dict.fromkeys(on(components), False)
    arms = [switched(components, {**off, its.name: True}, f"only_{its.name}") for its in components]
    contrasts = [difference(arm, base, its.name) for arm, its in zip(arms, components, strict=True)]
    return Layout((base, *arms), tuple(contrasts), BASE)


def cumulative(components: Sequence[Component]) -> Layout:
    """`base`, then one component more at a time in the listed order: what each adds given the earlier ones."""
    names = [its.name for its in components]
    arms = [
        switched(components, {name: i < stage for i, name in enumerate(names)}) for stage in range(len(components) + 1)
    ]
    steps = zip(arms[1:], arms[:-1], names, strict=True)
    return Layout(tuple(arms), tuple(difference(arm, before, name, f"+{name}") for arm, before, name in steps))


def factorial(components: Sequence[Component], its: Fraction, order: int = 2) -> Layout:
    """The cells of a factorial or a fraction of it: a contrast per class of effects up to `order` that share a column.

    On minus off of a main effect; of an interaction, the cells where an even number of its components is off against
    the others: for two, half the change of one's effect that the other makes.
    """
    arms = at_cells(components, its.cells())
    contrasts = []
    for effects in its.classes(order):
        names = [":".join(components[j].name for j in members(effect)) for effect in effects]
        about = tuple(components[j].name for j in members(effects[0]))
        contrasts.append(column_contrast(" = ".join(names), arms, its.column(effects[0]), about, tuple(names[1:])))
    return Layout(arms, tuple(contrasts), fraction=its)


def fraction(design: Design, components: Sequence[Component]) -> Fraction:
    """The fraction that a design asks for. Raises Mistake where its generators miss the resolution asked for."""
    if not design.generators:
        return choose(len(components), design.resolution or 4)
    its = Fraction(len(components), design.generators)
    if design.resolution is not None and (its.resolution or 0) < design.resolution:
        word = its.words[0]
        main, rest = members(word)[0], members(word)[1:]
        alias = ":".join(components[j].name for j in rest)
        raise Mistake(
            f"design.generators: {', '.join(design.generators)} give resolution {its.resolution} ({letters(word)}) and "
            f"alias {components[main].name} with {alias}; resolution {design.resolution} was asked for"
        )
    return its


def screened(components: Sequence[Component]) -> Layout:
    """Plackett-Burman: main effects only, each blurred by two-way effects of the others."""
    columns = screening(len(components))  # (N, k)
    arms = at_cells(components, columns)
    contrasts = [column_contrast(its.name, arms, columns[:, j], (its.name,), ()) for j, its in enumerate(components)]
    return Layout(arms, tuple(contrasts))


def ends(components: Sequence[Component]) -> Layout:
    """The two ends of a path; what lies between is found on the way (path.py)."""
    return Layout((every(components, False), every(components, True)), ())


def grid(components: Sequence[Component], base: dict[str, Any]) -> Layout:
    """The product of all levels, the last component fastest, each cell against the reference.

    The reference is the cell that is the study's own configuration, else the first one.
    """
    count = int(np.prod([len(its.levels) for its in components]))
    if count > LARGEST:
        raise Mistake(f"design: the grid has {count} cells, more than {LARGEST}; use fewer levels, or a search")
    arms = []
    for labels in itertools.product(*(its.levels for its in components)):
        chosen = {its.name: label for its, label in zip(components, labels, strict=True)}
        arms.append(cell(components, chosen, " ".join(f"{name}={label}" for name, label in chosen.items())))
    own = (arm for arm in arms if all(same(value_at(base, path), value) for path, value in arm.leaves.items()))
    reference = next(own, arms[0])
    contrasts = tuple(difference(arm, reference) for arm in arms if arm is not reference)
    return Layout(tuple(arms), contrasts, reference.name)


def at_cells(components: Sequence[Component], cells: np.ndarray) -> tuple[Arm, ...]:
    """One arm per row of `cells`, (runs, k) of +1 on / -1 off."""
    if len(cells) > LARGEST:
        raise Mistake(f"design: {len(cells)} cells are more than {LARGEST}; use kind: fractional or screening")
    names = [its.name for its in components]
    return tuple(switched(components, dict(zip(names, row > 0, strict=True))) for row in cells)


def column_contrast(
    name: str, arms: Sequence[Arm], column: np.ndarray, about: tuple[str, ...], aliases: tuple[str, ...]
) -> Contrast:
    """The effect of a column (runs,) of +1 and -1: mean of the cells with +1 minus mean of those with -1."""
    weights = {arm.name: float(2 * level / len(arms)) for arm, level in zip(arms, column, strict=True)}
    first = name.partition(" = ")[0]
    high, low = ("on", "off") if len(about) == 1 else ("+", "-")
    return Contrast(name, weights, f"{first} {high}", f"{first} {low}", about, aliases)


def every(components: Sequence[Component], value: bool) -> Arm:
    """All on, or all off."""
    return switched(components, dict.fromkeys(on(components), value))


def on(components: Sequence[Component]) -> dict[str, bool]:
    """All on, by name."""
    return {its.name: True for its in components}
