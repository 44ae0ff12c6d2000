"""The copy of the Optuna study: a journal file that optuna opens, and whose failures cost nothing."""

import errno
import logging
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from ablate.search.mirror import Mirror, default_address

SPACE = {"x": FloatDistribution(0.1, 10, log=True), "c": CategoricalDistribution([True, False])}
PLAIN = {"x": {"loguniform": [0.1, 10]}, "c": {"choice": [True, False]}}


def trial(x: float, *values: float, state: TrialState = TrialState.COMPLETE, **more: object) -> FrozenTrial:
    return create_trial(
        state=state,
        values=list(values) or None,
        params={"x": x, "c": True},
        distributions=SPACE,
        intermediate_values=more.get("history"),  # type: ignore[arg-type]
    )


def load(file: Path, name: str) -> optuna.Study:
    """The copy as optuna-dashboard opens it."""
    return optuna.load_study(study_name=name, storage=JournalStorage(JournalFileBackend(str(file))))


def test_finished_trials_are_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "optuna.journal"
    mirror = Mirror("toy", PLAIN, ["max"], str(file))
    mirror.add(trial(0.5, 0.7, history={1: 0.2, 3: 0.7}))
    mirror.add(trial(1.0, 0.2, state=TrialState.PRUNED))
    mirror.add(trial(2.0, state=TrialState.FAIL))
    mirror.close()
    study = load(file, mirror.name)
    assert [(its.state.name, its.value) for its in study.trials] == [("COMPLETE", 0.7), ("PRUNED", 0.2), ("FAIL", None)]
    assert study.direction.name == "MAXIMIZE" and study.best_params == {"x": 0.5, "c": True}
    assert study.trials[0].intermediate_values == {1: 0.2, 3: 0.7}
    assert study.trials[0].distributions == SPACE


def test_several_objectives_have_their_directions(tmp_path: Path) -> None:
    mirror = Mirror("toy", PLAIN, ["max", "min"], str(tmp_path / "j"))
    mirror.add(trial(0.5, 0.7, 0.1))
    mirror.close()
    study = load(tmp_path / "j", mirror.name)
    assert [its.name for its in study.directions] == ["MAXIMIZE", "MINIMIZE"] and len(study.best_trials) == 1


def test_a_resumed_search_begins_its_copy_afresh_and_leaves_others(tmp_path: Path) -> None:
    for study, x in (("toy", 0.5), ("other", 0.6), ("toy", 0.7)):
        mirror = Mirror(study, PLAIN, ["max"], str(tmp_path / "j"))
        mirror.add(trial(x, 0.7))
        mirror.close()
    assert [its.params["x"] for its in load(tmp_path / "j", mirror.name).trials] == [0.7]
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "j")))
    assert sorted(name.split()[0] for name in optuna.get_all_study_names(storage)) == ["other", "toy"]


def test_another_space_is_another_copy(tmp_path: Path) -> None:
    one = Mirror("toy", PLAIN, ["max"], str(tmp_path / "j"))
    other = Mirror("toy", PLAIN | {"c": {"choice": [True]}}, ["max"], str(tmp_path / "j"))
    again = Mirror("toy", dict(reversed(PLAIN.items())), ["max"], str(tmp_path / "j"))
    for its in (one, other, again):
        its.close()
    assert one.name == again.name != other.name and one.name.startswith("toy ")


def test_a_path_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        mirror = Mirror("toy", PLAIN, ["max"], str(tmp_path / "file" / "j"))
        for x in (0.5, 0.6):
            mirror.add(trial(x, 0.7))
        mirror.close()
    assert [message.split(" (")[0] for message in caplog.messages] == [
        f"no copy for optuna-dashboard in {tmp_path}/file/j"
    ]


def test_a_full_disk_costs_the_copy_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    mirror = Mirror("toy", PLAIN, ["max"], str(tmp_path / "j"))
    mirror.add(trial(0.5, 0.7))
    mirror.add(trial(0.6, 0.7))
    monkeypatch.setattr(JournalFileBackend, "append_logs", full)
    mirror.close()
    assert len(caplog.messages) == 1 and "No space left on device" in caplog.messages[0]


def test_a_trial_that_does_not_fit_the_copy_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mirror = Mirror("toy", PLAIN, ["max", "min"], str(tmp_path / "j"))
    mirror.add(trial(0.5, 0.7))
    mirror.add(trial(0.5, 0.7, 0.8))
    mirror.close()
    assert len(caplog.messages) == 1


def test_the_default_is_in_the_user_s_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_address() == tmp_path / "ablate" / "optuna.journal"
    mirror = Mirror("toy", PLAIN, ["max"])
    mirror.close()
    assert default_address().exists()
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_address().parts[-3:] == (".cache", "ablate", "optuna.journal")
