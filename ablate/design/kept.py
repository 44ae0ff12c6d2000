"""A plan as the record of its study keeps it, and back: JSON values in, JSON values out."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from ablate.design.options import Budget, Design, Retune, Sequential
from ablate.design.plan import Plan, plan

DERIVED = ("arms", "contrasts", "m", "reference", "relation")  # what a plan makes of the rest
FREE = ("seeds", "power", "decides", "sequential.budget")  # may change without making another question
SAME = tuple(its.name for its in fields(Design) if its.name not in ("components", "seeds", "generators", "retune"))


def kept(its: Plan) -> dict[str, Any]:
    """All that `restored` needs, and what two designs of one study name are compared by.

    `listed` holds the components in order, which comparisons of mappings would pass over.
    """
    seeds = its.design.seeds
    values = {key: value for key, value in its.plain().items() if key not in DERIVED}
    values["listed"] = [one.name for one in its.components]
    values["sequential"] = asdict(seeds) if isinstance(seeds, Sequential) else None
    return values


def restored(values: Mapping[str, Any], base: Mapping[str, Any]) -> Plan:
    """The plan of `kept` around the configuration of its study, in plain form; decided by the test noted there."""
    components = tuple({name: values["components"][name]} for name in values["listed"])
    retune = values["retune"]
    design = Design(
        **{name: values[name] for name in SAME},
        components=components,
        seeds=_seeds(values),
        generators=tuple(values["generators"]),
        retune=None if retune is None else Retune(**retune),
    )
    return plan(design, base, values["decides"])


def _seeds(values: Mapping[str, Any]) -> tuple[int, ...] | Sequential:
    its = values["sequential"]
    if its is None:
        return tuple(values["seeds"])
    budget = its["budget"]
    return Sequential(**(its | {"budget": None if budget is None else Budget(**budget)}))
