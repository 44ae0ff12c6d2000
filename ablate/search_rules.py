"""What a search may not ask: metrics that would mislead it, schedulers that its algorithm cannot use, used seeds."""

from __future__ import annotations

import fnmatch

from ablate.positions import dotted
from ablate.registry import LOSSES, METRICS, unknown
from ablate.rules import Broken, Facts, chosen_metrics, lacking
from ablate.signature import is_weight
from ablate.study import Search, number_of_points

LARGEST_GRID = 100_000  # points that can be listed and looked up in the record


def search_broken(facts: Facts) -> Broken:
    """Every rule of searching that the study breaks."""
    for rule in (searching, judged, scheduled, confirmed, patient):
        yield from rule(facts)


def searching(facts: Facts) -> Broken:
    """A range needs a search, a search needs ranges, and the algorithm must suit both."""
    search, places = facts.search, list(facts.space)
    if facts.document.get(("search",)) is None:
        for place in places if facts.document.get(("design",)) is None else ():
            yield place, f"{dotted(place)} holds a range, but the study has no search"
        return
    if search is None:
        return
    if not places:
        what = "the grid is empty" if search.algorithm == "grid" else "there is nothing to search"
        yield ("search",), f"{what}: no leaf of data, model, loss or train holds a range"
    yield from counted(facts, search)
    if search.algorithm == "cmaes" and sum(its.kind != "choice" for its in facts.space.values()) < 2:
        yield (
            ("search", "algorithm"),
            "cmaes moves along numbers: it needs at least two ranges that are no choice; use tpe",
        )


def counted(facts: Facts, search: Search) -> Broken:
    """A grid has its own number of trials, every other algorithm must be told."""
    if search.algorithm != "grid":
        if facts.document.get(("search", "trials")) is None:
            yield ("search",), f"search.trials is missing: {search.algorithm} must be told how many trials to run"
        return
    for place, its in facts.space.items():
        if its.size is None:
            yield place, f"{dotted(place)}: a grid needs a choice or int, {its.kind} has no end of values"
    points = number_of_points(facts.space.values())
    if points is not None and points > LARGEST_GRID:
        yield ("search",), f"the grid has {points} points, more than {LARGEST_GRID}; use tpe, or fewer values"
    if search.trials is not None:
        yield ("search", "trials"), "a grid runs all its points once; leave search.trials out"


def judged(facts: Facts) -> Broken:
    """Metrics must exist, be measured on the validation split, and not improve by switching terms off."""
    search = facts.search
    if search is None:
        return
    if not search.metric:
        yield ("search", "metric"), "search.metric is empty"
        return
    if len(search.mode) != len(search.metric):
        yield (
            ("search", "mode"),
            f"search.mode needs one of max, min per metric: {len(search.metric)}, not {len(search.mode)}",
        )
    if search.algorithm == "nsga2" and len(search.metric) < 2:
        yield ("search", "metric"), "nsga2 needs at least two metrics; use tpe for one"
    if search.algorithm != "nsga2" and len(search.metric) > 1:
        yield ("search", "metric"), f"{search.algorithm} takes one metric; use nsga2 for {len(search.metric)}"
    for i, metric in enumerate(search.metric):
        sentence = unfit(facts, metric)
        if sentence:
            yield ("search", "metric", i), sentence
        elif len(search.mode) == len(search.metric) and (sentence := upside_down("search", metric, search.mode[i])):
            yield ("search", "mode", i), sentence
    given = facts.document.get(("train", "select"))
    if given is not None and given != search.metric[0]:
        yield (
            ("train", "select"),
            f"search.metric ({search.metric[0]}) decides which epoch is best; leave train.select out",
        )


def unfit(facts: Facts, metric: str) -> str | None:
    """Why a search may not be judged by this metric, or None."""
    split, _, name = metric.partition("/")
    if split == "test":
        return f"search.metric {metric} is measured on the test split, which a search never touches; use valid/{name}"
    if split == "train":
        return f"search.metric {metric} is measured on the training split; use valid/{name}"
    if split != "valid" or not name:
        return f"search.metric must be valid/<name>, not {metric!r}"
    searched = [dotted(place) for place in facts.space if is_weight(dotted(place)) or place == ("loss", "beta")]
    if name in ("total", "elbo") and searched:
        weights = " and ".join([", ".join(searched[:-1]), searched[-1]] if searched[1:] else searched)
        return (
            f"search.metric is {metric} while {weights} {'are' if searched[1:] else 'is'} searched: the total and the "
            "ELBO improve when extra weights go to 0, so the search would find only that; "
            "select on a metric such as valid/probe_gap"
        )
    if name == "elbo" and (missing := lacking_of_bound(facts)):
        return (
            f"search.metric is {metric}, and loss does not name {' and '.join(missing)}, without which the sum is no "
            "bound; name it, with weight 0 where it is not to be trained"
        )
    return unmeasured(facts, "search.metric", metric)


def upside_down(section: str, metric: str, mode: str) -> str | None:
    """The sentence about a mode under which the worst would win, or None; what a pattern names may be asked both ways.

    The directions are those of `training.progress.direction`, which is of a higher room.
    """
    name = metric.partition("/")[2]
    if any(name in entry.meta.get("either", ()) for entry in METRICS):  # asked of one code to be high, of another low
        return None
    lower = [key for entry in METRICS for key in entry.meta.get("lower", ())]
    higher = [key for entry in METRICS for key in entry.meta.get("keys") or () if "*" not in key]
    if name in (*LOSSES.names(), "total") or any(fnmatch.fnmatchcase(name, key) for key in lower):
        known, why = "min", "lower"
    elif name in ("elbo", *higher):
        known, why = "max", "higher"
    else:
        return None
    return None if mode == known else f"{section}.mode is {mode}, but {metric} is better when {why}; write {known}"


def lacking_of_bound(facts: Facts) -> list[str]:
    """Terms of the model's bound that the study does not name."""
    if facts.model is None:
        return []
    its = [entry for entry in LOSSES if entry.meta.get("bound") and lacking("loss term", entry, facts.model) is None]
    return [entry.name for entry in its if entry.name not in facts.terms]


def patient(facts: Facts) -> Broken:
    """What patience watches must be measured."""
    train = facts.train or {}
    if train.get("patience") is None or facts.document.get(("train", "stop_on")) is None:
        return
    sentence = unmeasured(facts, "train.stop_on", train["stop_on"])
    if sentence and train["stop_on"].startswith("valid/"):
        yield ("train", "stop_on"), sentence


def unmeasured(facts: Facts, key: str, metric: str) -> str | None:
    """The sentence about a metric that no trial would report; None where metrics do not say what they report."""
    split, _, name = metric.partition("/")
    if name in ("elbo", "total", *facts.terms) or facts.metrics is None or facts.model is None:
        return None
    chosen = chosen_metrics(facts.metrics, facts.model)
    known = ["elbo", "total", *facts.terms]
    for entry in METRICS:
        keys = entry.meta.get("keys")
        reports = keys is None or any(fnmatch.fnmatchcase(name, key) for key in keys)
        if entry.name in chosen and reports:
            return None
        if reports and keys is not None:
            reason = lacking("metric", entry, facts.model) or f"metric {entry.name!r} is not among the study's metrics"
            return f"{key} {metric} would never be reported: {reason}"
        known += keys or () if entry.name in chosen else ()
    return unknown(key, metric, [f"{split}/{its}" for its in known])


def scheduled(facts: Facts) -> Broken:
    """A scheduler compares trials by one metric at equal epochs, and the algorithm must learn from ended trials."""
    search = facts.search
    if search is None or search.scheduler is None:
        return
    name, place = search.scheduler.name, ("search", "scheduler")
    if search.algorithm == "grid":
        yield place, "a grid is run in full; leave search.scheduler out"
    elif search.algorithm == "nsga2":
        yield place, f"{name} compares trials by one metric and nsga2 has several; leave search.scheduler out"
    elif search.algorithm == "cmaes":
        yield (
            place,
            f"cmaes ignores trials that {name} ends; use tpe, or leave search.scheduler out",
        )
    if name == "median" and facts.document.get((*place, "factor")) is not None:
        yield (*place, "factor"), "search.scheduler.factor belongs to asha; median has none"
    epochs = facts.values("train", "epochs")
    if epochs and search.scheduler.grace >= max(epochs):
        yield (
            (*place, "grace"),
            (
                f"search.scheduler.grace {search.scheduler.grace} leaves nothing to end: a trial has {max(epochs)}"
                " epochs"
            ),
        )


def confirmed(facts: Facts) -> Broken:
    """A confirm runs on seeds that the search has not used, and on no more configurations than there are."""
    search = facts.search
    if search is None or search.confirm is None:
        return
    seed = (facts.train or {}).get("seed")
    if seed in search.confirm.seeds:
        yield (
            ("search", "confirm", "seeds"),
            (f"search.confirm.seeds holds {seed}, the seed of the search (train.seed); confirm on fresh seeds"),
        )
    if search.trials is not None and search.confirm.top > search.trials:
        yield (
            ("search", "confirm", "top"),
            (f"search.confirm.top {search.confirm.top} is more than the {search.trials} trials of the search"),
        )
