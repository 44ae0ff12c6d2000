"""What an arm trains, in one digest: arms that share it differ in nothing that matters (statistics.md 3.2.2)."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ablate.design.arms import Arm
from ablate.design.components import same

Parameter = tuple[str, tuple[int, ...], str, bool]  # name, shape, dtype, requires_grad


def fingerprint(plain: Mapping[str, Any], parameters: Iterable[Parameter]) -> str:
    """64 hex digits of the trained objective, the built model, the data and the training of a plain configuration.

    The objective is the terms of weight above 0 with weight, warm-up and options, and the factor of the KLs; the model
    its options and the parameters that it has when built (on the meta device). A term at weight 0, the metrics and
    the resources leave no trace.
    """
    loss = plain.get("loss", {})
    terms = {name: its for name, its in loss.items() if isinstance(its, Mapping) and its.get("weight")}
    built = {
        "objective": [[name, _number(terms[name])] for name in sorted(terms)],
        "beta": _number(loss.get("beta", 1)),
        "model": _number(plain.get("model", {})),
        "parameters": sorted([name, list(shape), dtype, grad] for name, shape, dtype, grad in parameters),
        "data": _number(plain.get("data", {})),
        "train": _number({key: value for key, value in plain.get("train", {}).items() if key != "seed"}),
    }
    return hashlib.sha256(json.dumps(built, sort_keys=True).encode()).hexdigest()


def twins(arms: Iterable[Arm], prints: Mapping[str, str], base: Mapping[str, Any]) -> list[str]:
    """A sentence for every arm whose fingerprint another arm before it has, with the leaves that were to differ."""
    first: dict[str, Arm] = {}
    sentences = []
    for arm in arms:
        other = first.setdefault(prints[arm.name], arm)
        if other is not arm:
            paths = [path for path, value in arm.leaves.items() if not same(value, other.leaves.get(path))]
            why = ", ".join(dict.fromkeys(no_effect(path, base) for path in paths))
            sentences.append(f"design: arm {arm.name!r} builds the same model and objective as {other.name!r} ({why})")
    return sentences


def no_effect(path: str, base: Mapping[str, Any]) -> str:
    """Why a leaf may leave no trace: it belongs to a term at weight 0, or nothing that is built reads it."""
    section, term, *_ = [*path.split("."), ""]
    if section == "loss" and isinstance(base["loss"].get(term), Mapping) and not base["loss"][term]["weight"]:
        return f"loss.{term}.weight is already 0"
    return f"{path} has no effect on what is built"


def _number(value: Any) -> Any:
    """Whole floats as integers, so that 10 and 10.0 are one."""
    if isinstance(value, Mapping):
        return {key: _number(its) for key, its in value.items()}
    if isinstance(value, list | tuple):
        return [_number(its) for its in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
