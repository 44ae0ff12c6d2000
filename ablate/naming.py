"""Readable names of runs: what a configuration changes."""

import json
from functools import lru_cache
from typing import Any

from ablate.signature import Leaf, Leaves, parts
from ablate.trial import Once, Trial

LENGTH = 120  # characters of a run name


def describe_difference(trial: Trial, base: Trial) -> str:
    """What `trial` changes against `base`, for a run name: `scc=10 z_dim=4`, `vae`, `no kl_f`; `default` if nothing."""
    old, shared = _PARTS(base, "", lambda: _by_path(base))
    pairs = {section: (getattr(trial, section).name, getattr(base, section).name) for section in ("data", "model")}
    swapped = tuple(section for section, (name, other) in pairs.items() if name != other)
    words = [pairs[section][0] for section in swapped]
    if "model" not in swapped:  # another model cannot carry all terms
        words += [f"no {term}" for term in base.loss.terms if term not in trial.loss.terms]
    changed = {
        leaf.path: leaf.value
        for part in parts(trial)
        if id(part) not in shared
        for leaf in part.every
        if old.get(leaf.path) != leaf.text and counts(leaf) and leaf.path.partition(".")[0] not in swapped
    }
    added = [term for term in trial.loss.terms if term not in base.loss.terms]
    if added:
        changed = {path: value for path, value in changed.items() if not of_new_term(path, added)}
    short_names = [short_path(path) for path in changed]
    for (path, value), name in zip(changed.items(), short_names, strict=True):
        clash = short_names.count(name) > 1
        words.append(f"{path if clash else name}={short(value)}")
    return shorten(" ".join(words) or "default")


Known = tuple[dict[str, str], dict[int, Leaves]]
_PARTS: Once[Known] = Once()  # of the one configuration that all others are named against


def _by_path(trial: Trial) -> Known:
    """(path -> text of every leaf of the identity, its parts by id: what two trials share cannot differ)."""
    shared = {id(part): part for part in parts(trial)}
    return {leaf.path: leaf.text for part in shared.values() for leaf in part.every if counts(leaf)}, shared


def counts(leaf: Leaf) -> bool:
    """Whether it is part of a name; `train.select` is not, which the study sets."""
    return leaf.identity and not leaf.path.startswith("train.select")


def of_new_term(path: str, added: list[str]) -> bool:
    """Whether the leaf belongs to a term that the base lacks and says less than its weight."""
    section, term, *rest = [*path.split("."), "", ""][:3]
    return section == "loss" and term in added and rest != ["weight"]


@lru_cache
def short_path(path: str) -> str:
    """`loss.scc.weight` -> `scc`, `loss.scc.options.margin` -> `scc.margin`, `model.z_dim` -> `z_dim`."""
    section, *rest = path.split(".")
    if not rest:
        return section
    if section == "loss":
        return ".".join(word for word in rest if word not in ("weight", "options"))
    return ".".join(rest)


def short(value: Any) -> str:
    """A value for a person: 4 significant digits, lists joined by commas."""
    if isinstance(value, list | tuple):
        return ",".join(short(item) for item in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def shorten(name: str) -> str:
    """At most LENGTH characters."""
    return name if len(name) <= LENGTH else name[: LENGTH - 1] + "…"


def group_prefix(key: str, sweep: str) -> str:
    """How the names of a cell's placement groups begin, in one sweep's attempts at it."""
    return f"{key}-{sweep[:8]}-"
