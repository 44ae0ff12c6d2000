"""Readable names of runs: what a configuration changes."""

import json
from typing import Any

from ablate.signature import canonical, leaves
from ablate.trial import Trial

LENGTH = 120  # characters of a run name


def describe_difference(trial: Trial, base: Trial) -> str:
    """What `trial` changes against `base`, for a run name: `scc=10 z_dim=4`, `vae`, `no kl_f`; `default` if nothing."""
    new, old = identity(trial), identity(base)
    swapped = tuple(section for section in ("data", "model") if new[f"{section}.name"] != old[f"{section}.name"])
    words = [new[f"{section}.name"] for section in swapped]
    if "model" not in swapped:  # another model cannot carry all terms
        words += [f"no {term}" for term in base.loss.terms if term not in trial.loss.terms]
    changed = {
        path: value
        for path, value in new.items()
        if path.partition(".")[0] not in swapped and (path not in old or canonical(value) != canonical(old[path]))
    }
    added = [term for term in trial.loss.terms if term not in base.loss.terms]
    changed = {path: value for path, value in changed.items() if not of_new_term(path, added)}
    short_names = {path: short_path(path) for path in changed}
    for path, value in changed.items():
        name = short_names[path]
        clash = list(short_names.values()).count(name) > 1
        words.append(f"{path if clash else name}={short(value)}")
    return shorten(" ".join(words) or "default")


def identity(trial: Trial) -> dict[str, Any]:
    """Path -> value of the leaves of the identity, defaults included; without `train.select`, which the study sets."""
    return {
        leaf.path: leaf.value for leaf in leaves(trial) if leaf.identity and not leaf.path.startswith("train.select")
    }


def of_new_term(path: str, added: list[str]) -> bool:
    """Whether the leaf belongs to a term that the base lacks and says less than its weight."""
    section, term, *rest = [*path.split("."), "", ""][:3]
    return section == "loss" and term in added and rest != ["weight"]


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
