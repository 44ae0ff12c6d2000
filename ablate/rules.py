"""What a study may not ask, whatever its types: terms that the model cannot carry, weights that train nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from ablate.design.options import Design
from ablate.errors import Mistake
from ablate.positions import Document, Place
from ablate.ranges import Range
from ablate.registry import LOSSES, METRICS, MODELS, Entry
from ablate.study import Search, Study
from ablate.trial import Plain, Trial

Broken = Iterator[tuple[Place, str]]  # where, and the sentence
COMBINATIONS = 512  # of the ends of ranges in one section that are tried against its rules


@dataclass(frozen=True)
class Facts:
    """What is understood of a study; None where a section could not be."""

    document: Document
    model: Entry | None
    loss: Plain | None  # {beta, term: {weight, warmup, options} | None}
    train: Plain | None
    resources: Plain | None
    metrics: Plain | None  # {every, metric: options | None}
    search: Search | None
    space: dict[Place, Range]
    baseline: bool
    design: Design | None = None

    @property
    def terms(self) -> list[str]:
        """Known loss terms that the study names."""
        written = self.document.get(("loss",))
        return [name for name in written if name in LOSSES] if isinstance(written, dict) else []

    def values(self, *place: str) -> list[Any]:
        """All values that a leaf may take that matter for a limit: the ends of its range, or the one value."""
        if place in self.space:
            return self.space[place].ends()
        section: Any = getattr(self, place[0])
        return [] if section is None else [section[place[1]]]


def broken(facts: Facts) -> Broken:
    """Every rule that the study breaks, those of searching aside."""
    for rule in (terms_fit, metrics_fit, something_trained, likelihoods_agree, one_schedule, batch_divides):
        yield from rule(facts)


def offers(model: Entry) -> set[str]:
    """What a model has for terms and metrics to need: roles of its latents, `latent:<name>`, parts."""
    latents: dict[str, str] = model.meta.get("latents", {})
    parts = {part for part in ("decoder", "predictor", "sequences") if model.meta.get(part)}
    parts |= set() if model.meta.get("joint_prior") else {"priors"}
    return set(latents.values()) | {f"latent:{name}" for name in latents} | parts


def lacking(kind: str, entry: Entry, model: Entry) -> str | None:
    """The sentence about a term or metric that the model cannot carry, or None."""
    missing = sorted(set(entry.meta.get("needs", ())) - offers(model))
    if not missing:
        return None
    latents: dict[str, str] = model.meta.get("latents", {})
    has = [f"{name} ({role})" for name, role in latents.items()] + ["a decoder"] * bool(model.meta.get("decoder"))
    needs = " and ".join(need_in_words(need) for need in missing)
    return f"{kind} {entry.name!r} needs {needs}; model {model.name!r} has {', '.join(has) or 'no latent'}"


def need_in_words(need: str) -> str:
    """`static` -> `a static latent`, `latent:f` -> `a latent named f`, `decoder` -> `a decoder`."""
    if need.startswith("latent:"):
        return f"a latent named {need.removeprefix('latent:')}"
    parts = {"decoder": "a decoder", "predictor": "a predictor of frames", "sequences": "a mean of every sequence"}
    parts["priors"] = "a prior that factorises over dimensions"
    return parts.get(need, f"a {need} latent")


def terms_fit(facts: Facts) -> Broken:
    """The model must have what the terms need."""
    for name in facts.terms if facts.model else ():
        sentence = lacking("loss term", LOSSES[name], facts.model)  # type: ignore[arg-type]
        if sentence:
            yield ("loss", name), sentence


def metrics_fit(facts: Facts) -> Broken:
    """The model must have what the named metrics need."""
    for name in facts.metrics or () if facts.model else ():
        if name != "every" and facts.metrics[name] is not None:  # type: ignore[index]
            sentence = lacking("metric", METRICS[name], facts.model)  # type: ignore[arg-type]
            if sentence:
                yield ("metrics", name), sentence


def chosen_metrics(metrics: Plain, model: Entry) -> Plain:
    """The metrics of a study with their options: those it names, else all that the model can carry.

    Those that must be named (`named`) are measured only then: few data define them, or they take long.
    """
    named = {name: options for name, options in metrics.items() if name != "every" and options is not None}
    usual = [entry for entry in METRICS if not entry.meta.get("named")]
    return named or {entry.name: {} for entry in usual if set(entry.meta.get("needs", ())) <= offers(model)}


def something_trained(facts: Facts) -> Broken:
    """At least one weight must be above 0, in the default configuration and at every point of the space."""
    if facts.loss is None:
        return
    if not facts.terms:
        yield ("loss",), "loss names no term"
        return
    if not any(strength(facts, name) for name in facts.terms):
        yield ("loss",), "all weights are 0, so nothing would be trained; give one loss term a weight above 0"
    elif all(may_vanish(facts, name) for name in facts.terms):
        yield ("loss",), "the ranges allow all weights to be 0 at once; keep one loss term above 0 in every trial"


def strength(facts: Facts, name: str) -> float:
    """Weight of a term in the default configuration, times beta where that multiplies it."""
    loss: Plain = facts.loss or {}
    return loss[name]["weight"] * (loss["beta"] if LOSSES[name].meta.get("beta") else 1)


def may_vanish(facts: Facts, name: str) -> bool:
    """Whether some trial has this term at 0."""
    places: list[Place] = [("loss", name, "weight")] + [("loss", "beta")] * bool(LOSSES[name].meta.get("beta"))
    drawn = [facts.space[place].can_be_zero for place in places if place in facts.space]
    return any(drawn) or (strength(facts, name) == 0 and not drawn)


def likelihoods_agree(facts: Facts) -> Broken:
    """Terms that read the decoder's output must read it alike, and so must a model that reads its own."""
    terms = [name for name in facts.terms if facts.loss and facts.loss.get(name)]
    options = {name: (facts.loss or {})[name].get("options") or {} for name in terms}
    read = {name: its["likelihood"] for name, its in options.items() if "likelihood" in its}
    first = next(iter(read), "")
    for name, likelihood in read.items():
        if likelihood != read[first]:
            yield (
                ("loss", name),
                f"loss term {name!r} reads the decoder's output as {likelihood}, {first!r} as {read[first]}; "
                "give both the same options.likelihood",
            )
    if facts.model and facts.model.meta.get("logvar") and read.get("recon", "gaussian") != "gaussian":
        yield (
            ("loss", "recon"),
            f"model {facts.model.name!r} tells mean and log-variance of every number, which only likelihood gaussian "
            f"reads, not {read['recon']}",
        )
    own = own_likelihood(facts)
    if facts.model and own and read and own != read[first]:
        yield (
            ("model",),
            f"model {facts.model.name!r} reads its own outputs as {own}, loss term {first!r} as {read[first]}; "
            f"set model.likelihood to {read[first]}",
        )


def own_likelihood(facts: Facts) -> str | None:
    """As what an autoregressive model reads the outputs that it is fed with; None for other models."""
    options = fields(facts.model.options) if facts.model else ()
    default: Any = next((its.default for its in options if its.name == "likelihood"), None)
    written = facts.document.get(("model", "likelihood")) if default else None
    return written if isinstance(written, str) else default


def one_schedule(facts: Facts) -> Broken:
    """Scheduled sampling is judged anew at every jump; a KL that grows meanwhile would move the goal, too."""
    written = facts.document.get(("model", "mode"))
    modes = written.get("choice") if isinstance(written, dict) else written
    if facts.model is None or facts.loss is None or "scheduled" not in (modes if isinstance(modes, list) else [modes]):
        return
    for name in facts.terms:
        its = facts.loss.get(name)
        if its and its["warmup"] is not None and LOSSES[name].meta.get("beta"):
            yield (
                ("loss", name, "warmup"),
                f"loss.{name}.warmup: in model.mode scheduled the share of own outputs grows, and a KL's weight must "
                "not grow with it; leave the warm-up out, and start from a teacher-forced run with train.init_from",
            )


def twice(trial: Trial) -> Iterator[str]:
    """Terms that stand in for a KL which is trained beside them."""
    weights = {name: term.weight for name, term in trial.loss.terms.items() if term.weight > 0}
    latents: dict[str, str] = MODELS[trial.model.name].meta["latents"]
    code = next((name for name, role in latents.items() if role == "static"), next(iter(latents), ""))
    kls = [name for name in weights if name.startswith("kl_")]
    for name, replaced in {"capacity": kls, "beta_tc": [its for its in kls if its == f"kl_{code}"]}.items():
        if name in weights and replaced:
            yield (
                f"loss.{name} stands in for {' and '.join(replaced)}, and both are trained: the KL counts twice; give "
                f"{' and '.join(replaced)} weight 0"
            )


def batch_divides(facts: Facts) -> Broken:
    """Each worker takes the same share of a batch."""
    if facts.resources is None or facts.train is None:
        return
    workers = facts.resources["workers"]
    its = facts.space.get(("train", "batch_size"))
    if its is not None and its.kind == "int" and workers > 1:
        yield (
            ("train", "batch_size"),
            f"train.batch_size must be a choice of multiples of {workers}, one share per worker",
        )
        return
    for size in facts.values("train", "batch_size"):
        if size % workers:
            yield ("train", "batch_size"), f"train.batch_size {size} cannot be divided among {workers} workers"


def broken_together(base: Trial, space: dict[str, Range]) -> Broken:
    """Values of ranges in one section that its rules refuse together, tried at the ends of the ranges."""
    sections: dict[str, list[str]] = {}
    for path in space:
        sections.setdefault(path.rpartition(".")[0], []).append(path)
    for paths in sections.values():
        for values in itertools.islice(itertools.product(*(space[path].ends() for path in paths)), COMBINATIONS):
            try:
                base.replace(dict(zip(paths, values, strict=True)))
            except Mistake as error:
                point = ", ".join(f"{path} = {value}" for path, value in zip(paths, values, strict=True))
                yield tuple(paths[0].split(".")), f"{error}; with {point}"
                break


def warnings(study: Study) -> Iterator[str]:
    """What is legal but probably not meant."""
    for name, term in study.base.loss.terms.items():
        if term.warmup is not None and term.warmup.end >= study.base.train.epochs:
            yield (
                f"loss.{name}.warmup ends at epoch {term.warmup.end:g} of {study.base.train.epochs}: no epoch trains "
                "with the full weight"
            )
    yield from twice(study.base)
    options, epochs = study.base.model.options, study.base.train.epochs
    if getattr(options, "mode", None) == "scheduled" and epochs <= 9 * options.ss_step:
        yield (
            f"model.mode scheduled: the share of own outputs is 1 from epoch {9 * options.ss_step} on, after the last "
            f"of {epochs}; lower model.ss_step"
        )
    search, points = study.search, study.points
    if search is not None and search.trials is not None and points is not None and search.trials > points:
        yield f"search.trials is {search.trials}, but the space has only {points} points"
