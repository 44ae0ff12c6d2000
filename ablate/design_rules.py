"""What a design may not ask, and its plan: every component found in the file, every arm a configuration that trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ablate.design.components import OFF, Component, component, twice
from ablate.design.options import Budget, Design, Retune, Sequential
from ablate.design.plan import Plan, plan
from ablate.draft import Draft
from ablate.errors import Mistake
from ablate.positions import Place, dotted
from ablate.ranges import BAD, Range
from ablate.registry import METRICS, MODELS
from ablate.rules import Broken, Facts, batch_divides, lacking, likelihoods_agree
from ablate.search_rules import unmeasured, upside_down
from ablate.study import Study, chosen_by
from ablate.trial import Plain, Trial, build

SPACE: Place = ("design", "retune", "space")  # the only place of a design that may hold ranges
Convert = Callable[[Any, Place, Place], Any]  # (value, leaf, where it is written) -> typed; BAD after a complaint
FromFile = Callable[[Place, str], tuple[str, Plain] | None]  # (where it is written, file) -> name and leaves of a level
SHOWN = 5  # arms that are no configuration are named at once


def build_design(values: Plain) -> Design:
    """The record of a checked design section."""
    seeds, retune = values["seeds"], values["retune"]
    if isinstance(seeds, dict):
        budget = seeds["budget"]
        seeds = build(Sequential, seeds | {"budget": budget and build(Budget, budget, "budget")}, "seeds")
    return build(Design, values | {"seeds": seeds, "retune": retune and build(Retune, retune, "retune")}, "design")


def designed(study: Study, design: Design, its: Plan, retuned: dict[str, Range]) -> Study:
    """The study with its design and plan."""
    if design.retune is not None:
        design = replace(design, retune=replace(design.retune, space={k: v.plain() for k, v in retuned.items()}))
    return replace(study, design=design, plan=replace(its, design=design), retuned=retuned)


def design_broken(facts: Facts) -> Broken:
    """Every rule that the design section breaks, components aside."""
    if facts.document.get(("design",)) is None:
        return
    for rule in (alone, fixed, judged, tuned):
        yield from rule(facts)


def alone(facts: Facts) -> Broken:
    """A study is a search or an ablation."""
    if facts.baseline:
        yield ("design",), "a baseline is a single configuration and has no design"
    elif facts.document.get(("search",)) is not None:
        yield ("design",), "a study has a search or a design, not both; ask the second question in a file of its own"


def fixed(facts: Facts) -> Broken:
    """Arms are named, not searched."""
    for place in facts.space if facts.document.get(("search",)) is None else ():
        yield (
            place,
            f"{dotted(place)} holds a range, but a design has no search; name its values in design.components "
            "(kind: grid takes any number), or its range in design.retune.space",
        )


def tuned(facts: Facts) -> Broken:
    """Arms of a path are found on the way."""
    if facts.design is not None and facts.design.kind == "path" and facts.design.retune is not None:
        yield ("design", "retune"), "design.retune tunes arms that are known beforehand, and a path finds its own"


def undoing(its: Plan, retuned: Mapping[str, Range]) -> Broken:
    """Ranges that could tune a component away in the arms that have it: those arms would be the ones without.

    What a term weighs where it is on may be tuned, as long as it stays on.
    """
    for one in its.components:
        for path in one.paths:
            where = (*SPACE, path)
            if path not in retuned:
                continue
            weight = (
                path.startswith("loss.") and path.endswith(".weight") and not one.levels.get(OFF, {}).get(path, True)
            )
            if not weight:
                yield where, f"design.retune.space: {path} is what component {one.name} switches; leave it out"
            elif retuned[path].can_be_zero:
                yield (
                    where,
                    f"design.retune.space: {path} may become 0, as without component {one.name}; leave 0 out",
                )


def judged(facts: Facts) -> Broken:
    """The metric must be one that all arms report in the same units."""
    design, place = facts.design, ("design", "metric")
    if design is None:
        return
    name = design.metric.partition("/")[2]
    if name == "total":
        yield place, f"design.metric {design.metric} is another sum in every arm; use a metric that all arms share"
    sentence = unmeasured(facts, "design.metric", design.metric)
    if sentence:
        yield place, sentence
    elif name != "total" and (turned := upside_down("design", design.metric, design.mode)):
        yield ("design", "mode"), turned
    given = facts.document.get(("train", "select"))
    if given is not None and given != chosen_by(design.metric):
        yield (
            ("train", "select"),
            f"design.metric ({design.metric}) decides which epoch is best, by {chosen_by(design.metric)}; "
            "leave train.select out",
        )


def plan_of(
    draft: Draft, design: Design | None, base: Trial, convert: Convert, from_file: FromFile
) -> tuple[Design, Plan] | None:
    """The design with typed values, and its plan; None after complaints where there is none.

    Of a design section that is no design (None) the components are looked at all the same.
    """
    written = draft.values.get("design")
    if design is None and isinstance(written, dict) and isinstance(written.get("components"), tuple):
        components_of(draft, written["components"], base, written.get("kind") == "grid", convert, from_file)
    if design is None:
        return None
    specs = components_of(draft, design.components, base, design.kind == "grid", convert, from_file)
    if specs is None:
        return None
    design = replace(design, components=specs)
    try:
        its = plan(design, base.plain())
    except Mistake as error:
        complain(draft, ("design",), error.sentences)
        return None
    complain(draft, ("design",), unfit_arms(draft, its, base))
    return design, its


def components_of(
    draft: Draft, written: tuple[Any, ...], base: Trial, grid: bool, convert: Convert, from_file: FromFile
) -> tuple[Any, ...] | None:
    """The components with typed values; None after complaints."""
    plain = base.plain()
    specs: list[Any] = []
    found: list[Component] = []
    before = len(draft.document.complaints)
    for i, spec in enumerate(written):
        place: Place = ("design", "components", i, *(spec if isinstance(spec, Mapping) and len(spec) == 1 else ()))
        known = len(draft.document.complaints)
        files = grid and isinstance(spec, Mapping) and written_files(next(iter(spec.values())))
        typed = of_files(spec, place, from_file) if files else of_component(draft, spec, place, plain, convert)
        if len(draft.document.complaints) > known:
            continue
        try:
            made = component(typed, plain, grid)
        except Mistake as error:
            complain(draft, place, error.sentences)
            continue
        complain(draft, place, (its for other in found for its in twice([other, made])))
        specs.append(typed)
        found.append(made)
    return tuple(specs) if len(draft.document.complaints) == before else None


def complain(draft: Draft, place: Place, sentences: Any) -> None:
    """Complain at a place, or at the key of the design that a sentence begins with."""
    for sentence in sentences:
        key = tuple(sentence.partition(":")[0].split("."))
        known = place == ("design",) and draft.document.get(key) is not None
        at_key = isinstance(place[-1], str) and not known
        (draft.key if at_key else draft.value)(key if known else place, sentence)


def of_component(draft: Draft, spec: Any, place: Place, plain: Plain, convert: Convert) -> Any:
    """A component as written at `place`, values in the types of their leaves; complains about what does not suit."""
    if not isinstance(spec, Mapping) or len(spec) != 1:
        return spec
    ((name, given),) = spec.items()
    levels = (
        {label: its for label, its in given.items() if isinstance(its, Mapping)} if isinstance(given, Mapping) else {}
    )
    own = leaf_path(str(name), plain)
    paths = [own] if isinstance(given, tuple) else [str(path) for leaves in levels.values() for path in leaves]
    refusals = [why for path in dict.fromkeys(paths) if (why := no_component(draft, as_place(path)))]
    complain(draft, place, refusals)
    if refusals or not isinstance(given, Mapping | tuple):
        return spec

    def typed(value: Any, path: Any, where: Place) -> Any:
        leaf = as_place(path)
        made = convert(value, leaf, where) if draft.leaf(leaf) else value  # the component complains of an unknown leaf
        return value if made is BAD else made

    if isinstance(given, tuple):
        return {name: tuple(typed(value, own, (*place, i)) for i, value in enumerate(given))}
    changed = {
        label: {path: typed(value, path, (*place, label, path)) for path, value in leaves.items()}
        for label, leaves in levels.items()
    }
    return {name: {**given, **changed}}


def written_files(given: Any) -> bool:
    """Whether the levels of a component are study files: {files: [...]}."""
    return isinstance(given, Mapping) and list(given) == ["files"] and isinstance(given["files"], list | tuple)


def files_of(components: Any) -> tuple[str, ...]:
    """The study files that the components of a design name."""
    levels = [next(iter(spec.values())) for spec in components if isinstance(spec, Mapping)]
    return tuple(str(file) for given in levels if written_files(given) for file in given["files"])


def of_files(spec: Mapping[str, Any], place: Place, from_file: FromFile) -> dict[str, Any]:
    """A component whose levels are the model and the loss of study files, named after these."""
    ((name, given),) = spec.items()
    levels = [from_file((*place, "files", i), str(file)) for i, file in enumerate(given["files"])]
    return {name: dict(level for level in levels if level is not None)}


def as_place(path: Any) -> Place:
    """`loss.scc.weight` in steps."""
    return tuple(str(path).split("."))


def no_component(draft: Draft, leaf: Place) -> str | None:
    """Why two levels of a leaf would not be two arms, or None."""
    if leaf in (("data", "name"), ("model", "name")):
        files = "; kind: grid takes {NAME: {files: [...]}}, the models of study files" * (leaf[0] == "model")
        return f"{dotted(leaf)} cannot be a component: another {leaf[0]} is another study file{files}"
    if leaf in (("data",), ("model",), ("loss",), ("train",)):
        return f"{dotted(leaf)} cannot be a component: a level names leaves, as in model.z_dim"
    if leaf[0] in ("metrics", "resources"):
        return f"{dotted(leaf)} cannot be a component: it is not part of a configuration's identity"
    if leaf in (("train", "select"), ("train", "select_mode")):
        return f"{dotted(leaf)} cannot be a component: design.metric decides which epoch is best in every arm"
    its = draft.leaf(leaf)
    if its is not None and not its[1].metadata.get("identity", True):
        hint = "; design.seeds repeats an arm" if leaf == ("train", "seed") else ""
        return f"{dotted(leaf)} cannot be a component: it is not part of a configuration's identity{hint}"
    return None


def leaf_path(name: str, plain: Plain) -> str:
    """The path of an option that a component is named after; the name itself where it is none."""
    places = [f"{section}.{name}" for section in ("model", "data", "train") if name in plain[section]]
    return places[0] if "." not in name and len(places) == 1 else name


def unfit_arms(draft: Draft, its: Plan, base: Trial) -> Iterator[str]:
    """A sentence for each of the first arms that is no configuration, or one in which terms contradict each other."""
    seen: set[str] = set()
    for arm in its.arms:
        for sentence in unfit(draft, base, arm.leaves):
            if sentence not in seen and len(seen) < SHOWN:
                seen.add(sentence)
                yield f"design: arm {arm.name!r}: {sentence}"


def unfit(draft: Draft, base: Trial, leaves: Mapping[str, Any]) -> list[str]:
    """Rules that a configuration breaks."""
    try:
        trial = base.replace(leaves)
    except Mistake as error:
        return list(error.sentences)
    model = MODELS[trial.model.name]
    unable = [why for name in trial.metrics.chosen if (why := lacking("metric", METRICS[name], model))]
    if unable:
        return [f"{unable[0]}; name under metrics those that the models of all arms have"]
    plain = trial.plain()
    loss, train, resources = plain["loss"], plain["train"], plain["resources"]
    facts = Facts(draft.document, None, loss, train, resources, None, None, {}, False)
    return [sentence for rule in (likelihoods_agree, batch_divides) for _, sentence in rule(facts)]
