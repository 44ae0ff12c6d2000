"""How much each searched leaf mattered to the score of a search, by Optuna's PED-ANOVA or fANOVA.

Descriptive: a sampler looks where it has found good scores, so the trials are no fair sample of the space.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, create_trial

from ablate.random import uniforms
from ablate.ranges import KINDS, Range
from ablate.search.space import distributions, to_params

Method = Literal["ped_anova", "fanova"]
FEWEST = 8  # scored trials below which nothing is said
TOP = 5  # trials that PED-ANOVA needs among the best
DRAWS: dict[Method, int] = {"ped_anova": 100, "fanova": 20}  # resamples of the trials
DRAWN = {"ped_anova": 400, "fanova": 200}  # trials that one of them holds at most
ENDS = (2.5, 97.5)  # percentiles of the resamples


@dataclass(frozen=True)
class Share:
    """The share of one leaf in the importance of all, and its 95 % interval over resampled trials."""

    path: str
    value: float
    lo: float
    hi: float


def ranges(space: Mapping[str, Mapping[str, Any]]) -> dict[str, Range]:
    """The ranges of a space as a study's design keeps them, without those that hold one value only."""
    return {path: its for path, plain in space.items() if (its := range_of(plain)) is not None}


def range_of(plain: Mapping[str, Any]) -> Range | None:
    """A range from its plain form; None if it holds one value only."""
    kind = next(its for its in KINDS if its in plain)
    if kind == "choice":
        return Range(kind, tuple(plain[kind])) if len(plain[kind]) > 1 else None
    low, high = plain[kind]
    return Range(kind, (), low, high) if low < high else None


def quantile(n: int) -> float:
    """Share of the best trials that PED-ANOVA compares with all: a tenth, or as many as it needs."""
    return max(0.1, min(0.5, TOP / n))


def importance(
    space: Mapping[str, Mapping[str, Any]],
    points: Sequence[Mapping[str, Any]],
    scores: Sequence[float],
    mode: Literal["max", "min"],
    method: Method = "ped_anova",
) -> list[Share]:
    """Shares of the leaves in file order, from points and finite scores (n,); empty below 8 trials or without spread.

    PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255): what it takes to be among the best `quantile(n)`. fANOVA (Hutter
    et al. 2014): share of the variance of the score in the whole space. Points outside the space are left out.
    """
    known = ranges(space)
    sign = -1.0 if mode == "max" else 1.0  # both are asked to explain what is minimised
    kinds = distributions(known)
    trials = [
        create_trial(params=params, distributions=kinds, value=sign * score)
        for point, score in zip(points, scores, strict=True)
        if (params := to_params(known, {path: point.get(path) for path in known})) is not None
    ]
    if len(trials) < FEWEST or not known or len({its.value for its in trials}) < 2:
        return []
    values = shares(trials, list(known), method)
    lo, hi = interval(trials, list(known), method, values)
    return [Share(*its) for its in zip(known, values.tolist(), lo.tolist(), hi.tolist(), strict=True)]


def interval(
    trials: Sequence[FrozenTrial], paths: Sequence[str], method: Method, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends (k,) around the shares of all trials: percentiles of shares of resampled trials.

    Of many trials only some are drawn at a time (m of n); the spread around their median then shrinks by sqrt(m / n).
    """
    n, m, draws = len(trials), min(len(trials), DRAWN[method]), DRAWS[method]
    index = np.floor(uniforms(f"importance/{method}", draws * m).reshape(draws, m) * n).astype(int)
    drawn = [its for row in index if np.isfinite(its := shares([trials[i] for i in row], paths, method)).all()]
    if not drawn:
        return values, values
    if m < n:
        around = np.asarray(drawn) - np.median(drawn, axis=0)
        drawn = list(np.clip(values + around * math.sqrt(m / n), 0, 1))
    lo, hi = np.percentile(drawn, ENDS, axis=0)
    return lo, hi


def shares(trials: Sequence[FrozenTrial], paths: Sequence[str], method: Method) -> np.ndarray:
    """Shares of the leaves (k,), adding up to 1; NaN where all scores are the same."""
    if len({its.value for its in trials}) < 2:
        return np.full(len(paths), math.nan)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    study.add_trials(trials)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = get_param_importances(study, evaluator=evaluator(method, len(trials)), params=list(paths))
    return np.array([found[path] for path in paths])


def evaluator(method: Method, n: int) -> PedAnovaImportanceEvaluator | FanovaImportanceEvaluator:
    """Optuna's evaluator for n trials."""
    if method == "fanova":
        return FanovaImportanceEvaluator(seed=0)
    return PedAnovaImportanceEvaluator(target_quantile=quantile(n))
