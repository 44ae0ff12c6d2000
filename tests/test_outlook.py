"""`ablate check` of an ablation: what is asked, what the record has, what so many seeds can show, and what it costs."""

from pathlib import Path
from typing import Any

import pytest
from finished import write
from search.world import recorded

from ablate.check import Plan, examine, refuse
from ablate.config import load_study
from ablate.data.dataset import Data, load_data
from ablate.design.forecast import warnings
from ablate.errors import Mistake
from ablate.outlook import Bill, look_at
from ablate.reporting.planned import lines
from ablate.search import identity
from ablate.search.events import METRICS, compact, provenance
from ablate.search.known import Known
from ablate.search.plan import Planner
from ablate.spool import Spool
from ablate.study import Study
from ablate.tracking import Record
from ablate.training.probe import Pace
from ablate.writer import deliver

TEXT = """\
name: small
data: {name: simvowels, utterances: [20, 10, 10], segments: 6, window: 10, shift: 10, n_mels: 12}
model: {name: dsae, preset: tiny}
loss: {recon: 1, kl_f: 1, kl_z: 1, scc: 1, mi: 1}
train: {epochs: 2, batch_size: 16}
design:
  kind: leave_one_out
  components: [scc, mi, {inference: [full, factorised]}]
  seeds: 9
  metric: test/probe_gap
  mode: max
  margin: 0.01
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABLATE_RECORD_WAIT", "0.2")
    (tmp_path / "small.yaml").write_text(TEXT)
    return tmp_path / "small.yaml"


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 ms a step, 20 with scc; no first steps are made."""

    def made_up(trial: Any, data: Data) -> Pace:
        return Pace(step=0.02 if trial.loss.terms["scc"].weight else 0.01, steps=10, look=0.1)

    monkeypatch.setattr("ablate.search.afford.pace", made_up)
    monkeypatch.setattr("ablate.check.check_steps", lambda *_: None)
    monkeypatch.setattr("ablate.check.pulled", lambda *_: {"full": {"scc": 0.2, "mi": 0.001}})


def prepared(file: Path, *overrides: str) -> Study:
    study = load_study(file, overrides)
    load_data((study.base.data.name, study.base.data.options))
    return study


def shown(plan: Plan) -> dict[str, str]:
    """Text by label, warnings joined."""
    found: dict[str, str] = {}
    for label, text in lines(plan):
        found[label] = f"{found[label]} | {text}" if label in found else text
    return found


def test_the_plan_before_anything_exists(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    said = shown(examine(load_study(file)))
    assert said["design"] == "leave_one_out, 3 components (scc mi inference), reference: full; test/probe_gap (max)"
    assert said["question"] == "what is lost without each component when all others are on"
    assert said["cells"] == "4 arms x 9 seeds (0-8) = 36"
    assert said["decides by"] == "exact sign flip (reachable from 7 seeds), Holm 5 % over 3 contrasts, margin 0.01"
    assert said["detects"] == "80 % power: 1.18 seed sd if seeds correlate by .6 (1.87 if by 0, 0.59 if by .9)"
    assert said["alternative"].startswith("2^3 factorial x 4 seeds = 32 runs: average effects with 1.8 times smaller")
    assert "not prepared" in said["cost"] and "trials" not in said
    assert sorted(its.name for its in tmp_path.iterdir()) == ["small.yaml"], "check wrote something"


def test_the_cost_of_all_cells(file: Path, fast: None) -> None:
    study = prepared(file)
    plan = examine(study)
    assert plan.outlook is not None and plan.outlook.bill is not None and plan.data is not None
    look = 0.1 * plan.data.test.n / plan.data.valid.n
    light, heavy = 2 * (10 * 0.01 + 0.1) + look, 2 * (10 * 0.02 + 0.1) + look
    total = 9 * (3 * heavy + light)
    assert plan.outlook.bill.total == pytest.approx(total) and plan.outlook.bill.runs == 36
    assert plan.outlook.bill.hours == pytest.approx(total / 3600 * 1.05)
    said = shown(plan)
    assert said["gradients"] == "of recon's, after 3 steps: full: scc 0.2, mi 0.001"
    assert "mi pulls with 0.001 of the gradient of recon in arm full" in said["warning"]
    assert "(36 x" in said["cost"] and "ten steps of each kind of arm" in said["cost"]
    refuse(plan, "1h")
    with pytest.raises(Mistake, match=r"more than --budget 1s; lower design\.seeds or train\.epochs"):
        refuse(plan, "1s")


def test_a_path_is_priced_by_the_most_that_it_may_try(file: Path, fast: None) -> None:
    """Three components: 1 + 3 + 2 + 1 configurations on 9 seeds."""
    file.write_text(TEXT.replace("leave_one_out", "path").replace("  margin: 0.01\n", ""))
    plan = examine(prepared(file))
    assert plan.outlook is not None and plan.outlook.bill is not None and plan.outlook.bill.runs == 7 * 9
    assert shown(plan)["cost"].startswith("at most ")
    refuse(plan, "1h")
    with pytest.raises(Mistake, match="more than --budget 20s"):
        refuse(plan, "20s")


def test_arms_that_are_tuned_first_are_priced_by_all_that_they_run(file: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("ablate.check.check_steps", lambda *_: None)
    monkeypatch.setattr("ablate.check.pulled", lambda *_: {})
    monkeypatch.setattr(
        "ablate.search.afford.pace", lambda trial, data: Pace(step=trial.model.options.z_dim, steps=1, look=0)
    )
    space = "\n  retune: {space: {model.z_dim: {choice: [2, 20], default: 2}}, trials: 40}"
    file.write_text(TEXT.replace("preset: tiny", "preset: tiny, z_dim: 2").rstrip("\n") + space + "\n")
    plan = examine(prepared(file))
    assert plan.outlook is not None and plan.outlook.bill is not None
    cells = plan.outlook.cells
    assert {cell.trial.model.options.z_dim for cell in cells if cell.role == "retune"} == {2, 20}
    assert {cell.trial.model.options.z_dim for cell in cells if cell.role == "design"} == {2}  # no winner is known
    seconds = [cell.trial.model.options.z_dim * cell.trial.train.epochs for cell in cells]
    assert plan.outlook.bill.total == pytest.approx(sum(seconds)) and plan.outlook.bill.runs == len(cells)


def test_the_published_example_of_a_bill() -> None:
    arms = {f"a{i}": count for i, count in enumerate((0, 9, 9, 9, 9))}
    its = Bill.of(arms, dict.fromkeys(arms, 1225.0), devices=1, at_once=4, measured=True)
    assert (its.runs, its.seconds, its.hours, its.wall / 3600) == (
        36,
        1225.0,
        pytest.approx(12.8625),
        pytest.approx(3.0625),
    )
    assert Bill.of({"a": 0}, {"a": 3.0}, 1, 2, True) == Bill(0, 0.0, 0, 0.0, 0.0, True)


def record_cells(study: Study, root: Path, name: str, seeds: range) -> None:
    """The record of all arms on these seeds, as a study of this name leaves it; every run took 40 s."""
    record = Record(f"sqlite:///{root}/runs/mlflow.db", "ablate")
    data = load_data((study.base.data.name, study.base.data.options))
    run = record.open_study(name, identity.tags(study) | provenance(), identity.digest(study))
    spool = Spool(root / "runs" / name / "spool", "sweep")
    assert study.plan is not None and run
    for seed in seeds:
        for i, arm in enumerate(study.plan.arms):
            value = 0.5 + 0.02 * seed + 0.003 * ((seed + i) % 3)
            values = {"objective": value, "test/probe_gap": value, "system/wall_seconds": 40.0}
            write(spool, Planner(study, data.digest).designed(arm, seed, False), root / "runs" / name, data, values)
    spool.close()
    assert deliver(record, root / "runs" / name / "spool", name) == 0


def test_what_the_record_has_is_a_pilot_and_is_not_charged(file: Path, tmp_path: Path, migrated: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mlflow.db").write_bytes(migrated.read_bytes())
    study = prepared(file)
    record_cells(study, tmp_path, "small", range(3))
    plan = examine(study, probe=False)
    its = plan.outlook
    assert its is not None and its.bill is not None and its.pilot is not None
    assert (its.settled, its.reused, sum(its.left.values())) == (12, 0, 24)
    assert its.bill.total == pytest.approx(24 * 40.0) and not its.bill.measured
    assert its.pilot.sigma == pytest.approx(0.02, rel=0.3) and its.pilot.rho > 0.8
    said = shown(plan)
    assert said["cells"] == "4 arms x 9 seeds (0-8) = 36; 12 in the record, 24 to run"
    assert "record: correlation 0.9" in said["detects"] and said["equivalence"].startswith("±0.01 = 0.")
    assert "from earlier runs in the record" in said["cost"]
    other = examine(prepared(file, "name=other", "design.kind=factorial", "design.margin=null"), probe=False)
    assert other.outlook is not None
    assert (other.outlook.settled, other.outlook.reused) == (12, 12)  # full and the three without one
    assert "(12 run by other studies), 60 to run" in shown(other)["cells"]
    assert "nothing can ever be called equivalent" in shown(other)["warning"]


def test_seeds_on_which_a_search_has_tried_an_arm_are_told(file: Path) -> None:
    """Chosen on a seed, an arm flatters itself on it, whatever the search was called."""
    study = prepared(file)
    data = load_data((study.base.data.name, study.base.data.options))
    assert study.plan is not None
    planner = Planner(study, data.digest)
    cells = [planner.designed(study.plan.arms[1], seed, False) for seed in (4, 2, 7)]
    roles = ("search", "grid", "design")
    tags = [{"ablate.role": role, METRICS: compact(study.base.plain()["metrics"])} for role in roles]
    records = [recorded(cell, study_name="elsewhere", tags=its) for cell, its in zip(cells, tags, strict=True)]
    its = look_at(study, Known(planner, records))
    assert its.searched == (2, 4)
    said = list(warnings(study.plan, searched_seeds=its.searched))
    assert "seeds 2, 4 were used by the search that chose these arms: take fresh ones" in said


def test_arms_that_build_or_train_the_same_are_mistakes(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    margin = "design.components=[mi, {margin: {on: {loss.scc.options.margin: 1}, off: {loss.scc.options.margin: 2}}}]"
    feature = "design.components=[mi, {feature: {on: {model.feature: 24}, off: {model.feature: 32}}}]"
    sets = ["loss.scc.weight=0", margin]
    assert examine(prepared(file, *sets), probe=False).mistakes == [
        "design: arm 'no_margin' builds the same model and objective as 'full' (loss.scc.weight is already 0)"
    ]
    (sentence,) = examine(prepared(file, feature)).mistakes
    assert sentence.startswith("design: arm 'no_feature' trains exactly the same numbers as 'full'")
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))  # not prepared: built all the same
    assert "no_margin" in examine(load_study(file, sets), probe=False).mistakes[0]


def test_a_metric_that_the_data_do_not_define(file: Path) -> None:
    """Clips of one speaker each: five are too few for the halves of a probe."""
    plan = examine(prepared(file, "data.utterances=[20, 10, 2]"), probe=False)
    (sentence,) = plan.mistakes
    assert sentence.startswith("design.metric test/probe_gap is not defined on the test split of simvowels (factors: ")


def test_a_budget_that_does_not_reach_the_first_look(file: Path, fast: None) -> None:
    sequential = "design.seeds={max: 15, budget: {cpu_hours: %s}}"
    enough = examine(prepared(file, sequential % 1))
    assert not enough.mistakes and shown(enough)["cost"].startswith("at most ")
    assert "group-sequential sign flip at 8, 11, 14, 15 seeds" in shown(enough)["decides by"]
    (sentence,) = examine(prepared(file, sequential % 0.001)).mistakes
    assert sentence.startswith("design.seeds.budget: the first look, at 8 seeds, takes about 0.00")
    assert sentence.endswith("cpu_hours, more than the 0.001 of the budget")


@pytest.mark.parametrize(
    ("override", "label", "words"),
    [
        ("design.kind=cumulative", "question", "adds to those before it"),
        ("design.kind=path", "cells", "at most 7 configurations x 9 seeds (0-8)"),
        ("design.kind=path", "decides by", "nothing is decided"),
        ("design.seeds=1", "warning", "1 seed: no verdict is given below 3"),
        ("design.seeds=5", "decides by", "paired t (exact sign flip reachable from 7 seeds)"),
        ("design.seeds=5", "warning", "the t-test decides"),
        ("design.kind=factorial", "decides by", "exact sign flip (reachable from 8 seeds), Holm 5 % over 6 contrasts"),
    ],
)
def test_kinds_are_told(file: Path, override: str, label: str, words: str) -> None:
    assert words in shown(examine(prepared(file, override), probe=False))[label]


def test_a_fraction_tells_its_aliases(file: Path) -> None:
    sets = ["design.kind=fractional", "design.generators=[C=AB]"]
    said = shown(examine(prepared(file, *sets), probe=False))
    assert said["aliases"] == "resolution 3, I=ABC: A=BC B=AC C=AB; A=scc B=mi C=inference"
    assert "resolution III: main effects are aliased" in said["warning"]
