"""`ablate check`: the plan, what the record has, the cost, and every mistake at once without starting anything."""

import shutil
from pathlib import Path

import pytest
from finished import POINTS, files, record_study

from ablate import check
from ablate.check import duration, examine, refuse, seconds
from ablate.config import load_study
from ablate.cost import Cost, dearest, estimate
from ablate.data.dataset import load_data
from ablate.errors import Mistake
from ablate.registry import MODELS
from ablate.reporting.planned import lines
from ablate.tracking import Record
from ablate.training.probe import Pace, pace


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small study, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABLATE_RECORD_WAIT", "0.2")
    return files(tmp_path)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pace that takes no time: 10 ms a step, 20 with every weight and size at its largest."""

    def made_up(trial, data):
        heavy = trial.loss.terms["scc"].weight if "scc" in trial.loss.terms else 0
        return Pace(step=0.02 if heavy else 0.01, steps=10, look=0.1)

    monkeypatch.setattr("ablate.cost.pace", made_up)


def test_the_plan_before_anything_exists(file, tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    plan = examine(load_study(file))
    assert (plan.searched, plan.confirmed, plan.mistakes, plan.cells, plan.data) == (3, 6, [], None, None)
    model = MODELS["dsae"].make((80,), load_study(file).base.model.options)
    assert plan.parameters["dsae"][0] == sum(p.numel() for p in model.parameters())
    assert len(set(plan.parameters["dsae"])) == 2 and "baseline" in plan.parameters
    assert plan.cost is None and "not prepared" in plan.unknown_cost
    assert dict(lines(plan))["trials"].startswith("3 searched, then 6 to confirm")
    assert sorted(its.name for its in tmp_path.iterdir()) == ["baseline.yaml", "small.yaml"], "check wrote something"
    with pytest.raises(Mistake, match=r"--budget 1h cannot be checked: the cost is unknown"):
        refuse(plan, "1h")


def test_what_the_record_has_is_not_charged(file, tmp_path, migrated, fast):
    study = load_study(file)
    load_data((study.base.data.name, study.base.data.options))
    before = examine(study)
    assert before.left() == (3, 6)
    # a search at the mean of 0.2 and 0.3 s an epoch, two epochs each; two seeds of best, default and baseline
    searched, look = 3 * 0.5, 0.1 * before.data.test.n / before.data.valid.n
    confirmed = 2 * ((0.5 + look) + 2 * (0.4 + look))
    assert before.cost.trials == pytest.approx(searched + confirmed)
    assert before.cost.wall == pytest.approx(before.cost.trials / before.at_once)

    (tmp_path / "runs").mkdir()
    shutil.copy(migrated, tmp_path / "runs" / "mlflow.db")
    record_study(file, tmp_path / "runs" / "small", Record(f"sqlite:///{tmp_path}/runs/mlflow.db", "ablate"))
    after = examine(study)
    assert after.settled() == (2, 2) and after.left() == (1, 4)
    assert after.cost.trials < before.cost.trials
    assert "2 of 3 searched and 2 of 6 confirmed" in dict(lines(after))["record"]


def test_another_study_of_the_name_is_refused_field_by_field(file, tmp_path, migrated):
    (tmp_path / "runs").mkdir()
    shutil.copy(migrated, tmp_path / "runs" / "mlflow.db")
    record_study(file, tmp_path / "runs" / "small", Record(f"sqlite:///{tmp_path}/runs/mlflow.db", "ablate"), 0)
    plan = examine(load_study(file, ["train.lr=0.5", "model.f_dim=8"]), probe=False)
    assert [("train.lr = 0.002" in its, "model.f_dim = 4" in its) for its in plan.mistakes] == [
        (False, True),
        (True, False),
    ]
    with pytest.raises(Mistake):
        refuse(plan, None)


def test_every_mistake_at_once(file, tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    (tmp_path / "blocked").write_text("no folder")
    settings = ["tracking.folder=blocked/runs", "resources.cpus_per_worker=1000", "data.n_fft=256"]
    plan = examine(load_study(file, settings))
    sentences = "\n".join(plan.mistakes)
    assert "blocked/runs/small cannot be written" in sentences
    assert "a trial needs 1000 CPU" in sentences
    assert "data.n_fft 256 is shorter than the window" in sentences
    assert plan.cost is None and plan.unknown_cost == "the mistakes come first"


def test_a_record_that_does_not_answer_is_a_mistake(file):
    plan = examine(load_study(file, ["tracking.uri=http://127.0.0.1:9"]), probe=False)
    assert len(plan.mistakes) == 1 and "http://127.0.0.1:9 cannot be opened" in plan.mistakes[0]


def test_a_missing_data_root_is_a_mistake(file, tmp_path):
    text = "name: gone\ndata: {name: lpc_sprites, root: nowhere}\nmodel: {name: vae}\nloss: {recon: 1, kl_z: 1}\n"
    (tmp_path / "gone.yaml").write_text(text)
    plan = examine(load_study(tmp_path / "gone.yaml"))
    assert len(plan.mistakes) == 1 and "nowhere" in plan.mistakes[0]


def test_a_budget_refuses(file, fast):
    study = load_study(file)
    load_data((study.base.data.name, study.base.data.options))
    plan = examine(study)
    refuse(plan, "1h")
    with pytest.raises(Mistake, match=r"takes about .* on this machine, more than --budget 1s"):
        refuse(plan, "1s")
    with pytest.raises(Mistake, match="--budget soon is no time"):
        refuse(plan, "soon")


def test_a_real_probe_measures_something(file):
    study = load_study(file)
    data = load_data((study.base.data.name, study.base.data.options))
    its = pace(study.base, data, steps=2)
    assert 0 < its.step < 1 and its.look > 0
    assert its.steps == data.train.n // 16 and its.terms is not None and its.terms > 0
    trial = study.base.replace({"train.epochs": 10})
    rare = trial.replace({"metrics.every": 4})
    assert its.run(trial) == pytest.approx(10 * (its.step * its.steps + its.look))
    assert its.run(rare) == pytest.approx(10 * its.step * its.steps + 4 * its.look + 6 * its.terms)  # 1, 4, 8 and 10


def test_the_dearest_configuration_has_the_largest_of_everything(file):
    assert {path: dearest(load_study(file)).plain()["model"]["z_dim"] for path in ("z",)} == {"z": 4}
    assert dearest(load_study(file)).loss.terms["scc"].weight == 1
    assert dearest(load_study(file, ["model.z_dim={choice: [2, 32], default: 2}"])).model.options.z_dim == 32


def test_a_finished_study_costs_nothing(file, fast):
    study = load_study(file)
    data = load_data((study.base.data.name, study.base.data.options))
    assert estimate(study, data, 0, 0, 1) == Cost(0, 0, (0.01, 0.02), False)


def test_points_of_the_test_study_lie_in_its_space(file):
    study = load_study(file)
    assert [study.point(study.configuration(point)) for point in POINTS] == list(POINTS)


@pytest.mark.parametrize(
    ("text", "value"), [("90s", 90), ("45m", 2700), ("4h", 14400), ("1h30m", 5400), ("2d", 172800), ("0.5h", 1800)]
)
def test_times_are_read(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("value", "text"), [(0.2, "1 s"), (89, "89 s"), (91, "2 min"), (5400, "1 h 30 min"), (200000, "2 d 7 h")]
)
def test_times_are_written(value, text):
    assert duration(value) == text


def test_corners_are_few(file):
    study = load_study(file, ["model.z_dim={int: [1, 100], default: 4}", "model.hidden={int: [8, 64], default: 8}"])
    assert len(check.corners(study, study.base)) == 4
