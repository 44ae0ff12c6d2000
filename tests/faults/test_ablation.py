"""A tiny factorial through real Ray and MLflow: killed and resumed, recomputed by other code, extended and reused."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ablate.reporting.recorded import Recorded, recorded
from faults.conftest import Make
from faults.scene import NAME, Scene

pytestmark = pytest.mark.slow
EPOCHS = 6
STUDY = f"""\
name: {NAME}
data: {{name: simvowels, features: logmel, hop_ms: 20, window: 20, shift: 5, utterances: [20, 10, 10]}}
model: {{name: dsae, hidden: 8, f_dim: 4, z_dim: 3, inference: full}}
loss:
  recon: {{weight: 1, options: {{likelihood: gaussian, variance: 0.3}}}}
  kl_f: 1
  kl_z: 1
  mi: 1
train: {{epochs: {EPOCHS}}}
design:
  kind: factorial
  components: [mi, {{inference: [full, factorised]}}]
  seeds: 3
  metric: test/probe_gap
  mode: max
  margin: 0.05
"""
ON = {"base": (-1, -1), "mi": (1, -1), "inference": (-1, 1), "full": (1, 1)}
Outputs = tuple[str, str, str, str]


def outputs(its: Recorded) -> Outputs:
    """All that is compared byte for byte."""
    return its.csv(), its.markdown(), its.latex(), its.cells()


@pytest.fixture(scope="module")
def whole(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The study from start to end in one go."""
    its = Scene(tmp_path_factory.mktemp("whole"), migrated, STUDY)
    sweep = its.sweep()
    try:
        assert sweep.end() == 0, sweep.output
        assert "Effects of the components" in sweep.output
    finally:
        its.clear()
    return its


@pytest.mark.faults
def test_killed_twice_and_resumed_gives_the_same_bytes(scene: Make, whole: Scene) -> None:
    its = scene(study=STUDY)
    sweep = its.sweep()
    sweep.until(lambda: len(its.cells()) == 2 and its.now_training(1, EPOCHS - 1), "the second cell")
    sweep.kill()
    resumed = its.resume()
    resumed.until(lambda: len(its.cells()) == 6 and its.now_training(3, EPOCHS - 1), "the sixth cell")
    resumed.kill()
    last = its.resume()
    assert last.end() == 0, last.output
    assert outputs(recorded(its.runs, NAME)) == outputs(recorded(whole.runs, NAME))
    assert len(its.tags()) == 12 == len({tags["ablate.cell"] for tags in its.tags()})
    assert its.run("report", NAME, "--csv")[1] == recorded(whole.runs, NAME).csv()


def test_effects_recomputed_from_the_cells(whole: Scene) -> None:
    its = recorded(whole.runs, NAME)
    cells = list(csv.DictReader(io.StringIO(its.cells())))
    y = {(row["name"], int(row["seed"])): float(row["test/probe_gap"]) for row in cells}
    assert len(y) == 12 and {row["loss.mi.weight"] for row in cells if row["name"] == "base"} == {"0"}
    shown = {row["contrast"]: row for row in csv.DictReader(io.StringIO(its.csv()))}
    x = np.array([[seed == 0, seed == 1, seed == 2, *ON[arm], np.prod(ON[arm])] for arm, seed in y], float)
    b, residual, *_ = np.linalg.lstsq(x, np.array(list(y.values())), rcond=None)
    df = len(y) - x.shape[1]
    se = 2 * np.sqrt(residual[0] / df / len(y))
    half = stats.t.ppf(0.975, df) * se
    effects = dict(zip(("mi", "inference", "mi:inference"), 2 * b[3:], strict=True))
    p = {name: 2 * stats.t.sf(abs(effect) / se, df) for name, effect in effects.items()}
    holm, worst = {}, 0.0
    for i, name in enumerate(sorted(p, key=lambda name: p[name])):
        worst = max(worst, min(1.0, (3 - i) * p[name]))
        holm[name] = worst
    for name, effect in effects.items():
        expected = {"effect": effect, "se": se, "ci_lo": effect - half, "ci_hi": effect + half, "df": df}
        expected |= {"p": p[name], "p_holm": holm[name], "ss": (effect / 2) ** 2 * len(y)}
        found = {key: float(shown[name][key]) for key in expected}
        assert found == pytest.approx(expected, rel=1e-6), name
    for j, name in enumerate(("mi", "inference")):
        on, off = ([value for (arm, _), value in y.items() if ON[arm][j] == sign] for sign in (1, -1))
        assert float(shown[name]["effect"]) == pytest.approx(np.mean(on) - np.mean(off), rel=1e-9)
    pairs = [y["inference", seed] - y["full", seed] for seed in range(3)]
    assert float(shown["no_mi"]["effect"]) == pytest.approx(np.mean(pairs), rel=1e-9)
    assert float(shown["no_mi"]["p_t"]) == pytest.approx(stats.ttest_1samp(pairs, 0).pvalue, rel=1e-6)


def test_a_finished_study_a_further_seed_and_a_leave_one_out(scene: Make, whole: Scene) -> None:
    its = whole
    before = outputs(recorded(its.runs, NAME))
    code, said = its.run("sweep", "study.yaml", "--cpus", "1")
    assert code == 0 and "nothing was left to run" in said and "Ray dashboard" not in said
    assert outputs(recorded(its.runs, NAME)) == before
    other = (
        STUDY.replace(f"name: {NAME}", "name: without")
        .replace("factorial", "leave_one_out")
        .replace("seeds: 3", "seeds: 4")
    )
    (its.folder / "without.yaml").write_text(other)
    code, said = its.run("sweep", "without.yaml", "--cpus", "1")
    assert code == 0 and "9 of 12 cells were run by other studies" in said, said
    assert {tags["ablate.study"] for tags in its.tags()} == {NAME, "without"} and len(its.tags()) == 12 + 3
    code, said = its.run("sweep", "study.yaml", "--cpus", "1", "--set", "design.seeds=4")
    assert code == 0 and len(its.tags()) == 12 + 3 + 1, said  # the arm base; the others were run by `without`
    assert "4/4" in said
