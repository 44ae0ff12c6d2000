"""The report as a folder: effects recomputed from its runs alone, the same bytes, digests that hold."""

import csv
import hashlib
import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from design.studies import NAMES, B, D, cells, planned
from scipy import stats

from ablate.reporting.confirmed import confirmation
from ablate.reporting.folder import folder_files
from ablate.reporting.recorded import Recorded

from .recordings import ablation, searched

HOME = Path("absent")
Row = dict[str, str]


def files(its: Recorded) -> dict[str, bytes]:
    """Without figures, which have their own tests."""
    return folder_files(its, [], HOME)


def table(content: bytes) -> list[Row]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def by_arm(rows: list[Row], metric: str) -> dict[str, dict[int, float]]:
    """arm -> seed -> value, from runs.csv."""
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        if row["status"] == "complete":
            found.setdefault(row["arm"], {})[int(row["seed"])] = float(row[metric])
    return found


def sign_flip(d: np.ndarray) -> float:
    """Share of all sign patterns whose mean is at least as far from 0, by listing them."""
    signs = np.array(list(itertools.product((1, -1), repeat=len(d))))
    return float(np.mean(np.abs(signs @ d) >= abs(d.sum()) - 1e-12))


def holm(p: list[float]) -> list[float]:
    order, found, worst = np.argsort(p), [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, p[i] * (len(p) - rank)))
        found[i] = worst
    return found


def leave_one_out() -> Recorded:
    return ablation(planned("leave_one_out", margin=0.01), {arm: dict(enumerate(y)) for arm, y in B.items()})


def factorial() -> Recorded:
    plan = planned("factorial", NAMES[:3], range(3))
    return ablation(plan, cells(plan, D))


def test_a_leave_one_out_is_recomputed_from_its_runs() -> None:
    its = files(leave_one_out())
    values = by_arm(table(its["runs.csv"]), "test/score")
    effects = table(its["effects.csv"])
    assert [row["contrast"] for row in effects] == ["no_scc", "no_cyclic", "no_mi", "no_kl_f"]
    p = []
    for row in effects:
        d = np.array([values[row["plus"]][seed] - values[row["minus"]][seed] for seed in sorted(values["full"])])
        half = stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d))
        expected = (d.mean(), d.mean() - half, d.mean() + half)
        assert [float(row[key]) for key in ("effect", "ci_lo", "ci_hi")] == pytest.approx(expected, abs=1e-12)
        assert float(row["p_t"]) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, rel=1e-9)
        p.append(sign_flip(d))
        assert float(row["p_sign_flip"]) == pytest.approx(p[-1], abs=1e-12)
    assert [float(row["p_holm"]) for row in effects] == pytest.approx(holm(p), abs=1e-12)


def test_a_factorial_is_recomputed_from_its_runs() -> None:
    its = files(factorial())
    rows = table(its["runs.csv"])
    effects = [row for row in table(its["effects.csv"]) if set(row["contrast"].split(":")) <= set(NAMES)]
    on = {
        name: np.array([1.0 if name in row["arm"] or row["arm"] == "full" else -1.0 for row in rows]) for name in NAMES
    }
    y, seeds = np.array([float(row["test/score"]) for row in rows]), [int(row["seed"]) for row in rows]
    blocks = np.array([[float(seed == one) for one in sorted(set(seeds))] for seed in seeds])
    names = [row["contrast"] for row in effects]
    columns = np.stack([np.prod([on[its] for its in name.split(":")], axis=0) for name in names], axis=1)
    x = np.hstack([blocks, columns])
    b, *_ = np.linalg.lstsq(x, y, rcond=None)
    df = len(y) - np.linalg.matrix_rank(x)
    mse = ((y - x @ b) ** 2).sum() / df
    se = 2 * np.sqrt(mse * np.diag(np.linalg.inv(x.T @ x))[blocks.shape[1] :])
    effect = 2 * b[blocks.shape[1] :]
    assert [float(row["effect"]) for row in effects] == pytest.approx(effect, abs=1e-12)
    assert [float(row["se"]) for row in effects] == pytest.approx(se, abs=1e-12)
    p = 2 * stats.t.sf(np.abs(effect / se), df)
    assert [float(row["p"]) for row in effects] == pytest.approx(p, rel=1e-9)
    claimed = [i for i, row in enumerate(effects) if row["p_holm"]]
    assert [float(effects[i]["p_holm"]) for i in claimed] == pytest.approx(holm([p[i] for i in claimed]), rel=1e-9)


def test_a_confirmation_is_recomputed_from_its_runs() -> None:
    its = searched()
    rows = [row for row in table(files(its)["runs.csv"]) if row["role"] == "confirm"]
    values = by_arm(rows, "test/gap")
    d = np.array([values["best"][seed] - values["default"][seed] for seed in sorted(values["default"])])
    found = confirmation(its.question, its.rows)
    assert found is not None and found["best"].contrast is not None
    effect = found["best"].contrast.effect
    half = stats.t.ppf(0.975, 2) * d.std(ddof=1) / np.sqrt(3)
    assert effect is not None and (effect.mean, effect.lo) == pytest.approx((d.mean(), d.mean() - half), abs=1e-12)


def test_every_run_is_there_with_what_it_cost() -> None:
    its = files(ablation(planned("leave_one_out"), {"full": {0: 0.5, 1: None}, "no_scc": {0: 0.25, 1: 0.75}}))
    rows = table(its["runs.csv"])
    told = [(row["arm"], row["seed"], row["status"], row["failure"], row["seconds"], row["test/score"]) for row in rows]
    assert told == [
        ("full", "0", "complete", "", "10", "0.5"),
        ("full", "1", "failed", "diverged", "11", ""),
        ("no_scc", "0", "complete", "", "10", "0.25"),
        ("no_scc", "1", "complete", "", "11", "0.75"),
    ]
    assert {(row["cached"], row["gpu_seconds"], row["commit"], row["data"]) for row in rows} == {
        ("false", "0", "c0ffee", "d1gest")
    }
    typed = pd.read_parquet(io.BytesIO(its["runs.parquet"]))
    assert list(typed["seed"]) == [0, 1, 0, 1] and typed["test/score"].isna().tolist() == [False, True, False, False]
    (score,) = [row for row in table(its["metrics.csv"]) if (row["arm"], row["metric"]) == ("no_scc", "test/score")]
    assert (score["n"], score["complete"], score["mean"]) == ("2", "2", "0.5")
    assert float(score["sd"]) == pytest.approx(0.5 / np.sqrt(2))


def test_rows_in_any_order_give_the_same_bytes_and_the_manifest_says_so() -> None:
    values: Any = {arm: dict(enumerate(y)) for arm, y in B.items()}
    one, other = (files(ablation(planned("leave_one_out"), values, shuffle=shuffle)) for shuffle in (0, 1))
    assert one == other
    manifest = json.loads(one["manifest.json"])
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in one.items() if name != "manifest.json"}
    assert manifest["files"] == digests and manifest["study"] == "s"
    changed = files(ablation(planned("leave_one_out"), values | {"full": {0: 0.1}}))
    assert json.loads(changed["manifest.json"])["rows"] != manifest["rows"]


def test_aliases_are_there_where_there_are_any() -> None:
    plan = planned("fractional", (*NAMES, {"inference": ["full", "factorised"]}), range(2), resolution=3)
    found = files(ablation(plan, {arm.name: {0: 0.5 + i / 100, 1: 0.6 + i / 90} for i, arm in enumerate(plan.arms)}))
    assert [(row["letters"], row["effects"]) for row in table(found["aliases.csv"])] == plan.aliases()
    assert "aliases.csv" not in files(leave_one_out())
