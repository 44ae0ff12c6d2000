"""Which study a name stands for: free and refused changes, the design in a tag, the file that is kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toys import PLAIN, STUDY, toys

from ablate.config import load_study
from ablate.errors import Mistake
from ablate.records import StudyRecord
from ablate.search import identity
from ablate.search.confirm import Candidate, confirm_cells
from ablate.search.plan import Outcome, Planner
from ablate.search.result import Result
from ablate.study import Study

__all__ = ["toys"]
CONFIRMED = STUDY + "  confirm: {top: 1, seeds: 2, against: [plain.yaml]}\n"


def study(text: str = STUDY, *overrides: str, name: str = "study.yaml") -> Study:
    Path("plain.yaml").write_text(PLAIN)
    Path(name).write_text(text)
    return load_study(name, overrides)


def recorded(its: Study, **tags: str) -> StudyRecord:
    """The study's run as the record has it."""
    every = identity.tags(its) | tags
    return StudyRecord("r", its.name, its.name, "", identity.digest(its), "", 0, False, "FINISHED", {}, {}, every, 0, 0)


@pytest.mark.parametrize(
    "override",
    [
        "search.trials=60",
        "search.confirm.seeds=9",
        "resources.cpus_per_worker=0.5",
        "train.wall_limit=60",
        "tracking.folder=elsewhere",
        "data.root=elsewhere",
    ],
)
def test_what_may_change(toys: Path, override: str) -> None:
    before, after = study(CONFIRMED), study(CONFIRMED, override)
    assert before.plain() != after.plain()
    identity.check_same(after, recorded(before))
    assert identity.digest(before) == identity.digest(after)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.epochs=9", "train.epochs = 8, this file has 9"),
        ("search.metric=valid/swap", 'search.metric = ["valid/gap"], this file has ["valid/swap"]'),
        ("search.algorithm=random", 'search.algorithm = "tpe", this file has "random"'),
        ("search.scheduler.grace=2", "search.scheduler.grace = 3, this file has 2"),
        ("search.confirm.top=2", "search.confirm.top = 1, this file has 2"),
        ("loss.kl_z.weight=2", "loss.kl_z.weight = 1, this file has 2"),
        ("model.z_dim={choice: [2, 4, 8]}", "model.z_dim.choice = [2,4], this file has [2,4,8]"),
        ("search.confirm.against=[]", 'search.confirm.against = ["plain.yaml"], this file has []'),
    ],
)
def test_what_makes_another_question_is_named(toys: Path, override: str, sentence: str) -> None:
    with pytest.raises(Mistake) as caught:
        identity.check_same(study(CONFIRMED, override), recorded(study(CONFIRMED)))
    assert any(f"study 'toy' is in the record with {sentence};" in its for its in caught.value.sentences)
    assert all("another name" in its and "--fresh" in its for its in caught.value.sentences)


def test_every_changed_field_gets_its_sentence(toys: Path) -> None:
    with pytest.raises(Mistake) as caught:
        identity.check_same(study(STUDY, "train.lr=0.1", "train.epochs=9"), recorded(study()))
    assert len(caught.value.sentences) == 2


def test_leaves_that_come_or_go_are_named(toys: Path) -> None:
    without = STUDY.replace("  kl_z: {weight: 1}\n", "")
    with pytest.raises(Mistake, match=r"loss\.kl_z\.weight = 1, this file has absent"):
        identity.check_same(study(without), recorded(study()))
    with pytest.raises(Mistake, match=r"loss\.kl_z\.weight = absent, this file has 1"):
        identity.check_same(study(), recorded(study(without)))


def test_a_baseline_that_changes_is_another_question(toys: Path) -> None:
    before = study(CONFIRMED)
    known = recorded(before)
    Path("plain.yaml").write_text(PLAIN.replace("kl_z: 1", "kl_z: 2"))
    with pytest.raises(Mistake, match=r"baselines\.plain\.loss\.kl_z\.weight = 1, this file has 2"):
        identity.check_same(load_study("study.yaml"), known)


def test_the_digest_depends_on_values_and_not_on_the_file(toys: Path) -> None:
    reordered = STUDY.replace("train: {epochs: 8, batch_size: 32}", "train: {batch_size: 32, epochs: 8}  # as before")
    assert identity.digest(study()) == identity.digest(study(reordered, name="other.yaml"))
    assert identity.digest(study()) != identity.digest(study(STUDY, "train.lr=0.1"))


def test_the_design_survives_its_tag_in_order(toys: Path) -> None:
    its = study(CONFIRMED, "train.lr=0.1")
    tags = identity.tags(its)
    assert len(tags["ablate.design"]) < 8000  # characters that MLflow keeps
    assert repr(identity.unpack(tags["ablate.design"])) == repr(_json(its.plain()))
    assert tags["ablate.overrides"] == '["train.lr=0.1"]'


def _json(value: Any) -> Any:
    import json

    return json.loads(json.dumps(value))


def test_a_study_is_complete_only_with_this_very_plan(toys: Path) -> None:
    its = study(CONFIRMED)
    tags = identity.closing_tags(its, Result(), "complete")
    assert identity.complete(its, recorded(its, **tags, **{"ablate.status": "complete"}))
    assert not identity.complete(its, None)
    assert not identity.complete(its, recorded(its, **tags, **{"ablate.status": "stopped"}))
    assert not identity.complete(study(CONFIRMED, "search.trials=7"), recorded(its, **tags))
    assert "ablate.plan" not in identity.closing_tags(its, Result(failed=["x"], ran=3), "stopped")
    assert identity.closing_tags(its, Result(failed=["x"], ran=3), "stopped")["ablate.failed"] == "1"


def test_the_kept_file_is_the_study_as_given_with_its_overrides(toys: Path) -> None:
    its = study(CONFIRMED + "# a remark", "train.lr=0.1", "search.trials=9")
    folder = toys / "runs" / "toy"
    folder.mkdir(parents=True)
    identity.keep_file(its, folder)
    assert (folder / "study.yaml").read_text().startswith(CONFIRMED + "# a remark\n")
    file, settings = identity.kept_file(folder)
    assert settings == ["train.lr=0.1", "search.trials=9"]
    assert (folder / "plain.yaml").read_text() == PLAIN
    for name in ("study.yaml", "plain.yaml"):
        Path(name).unlink()
    assert load_study(file, settings).plain() == its.plain()
    assert sorted(path.name for path in folder.iterdir()) == ["plain.yaml", "study.yaml"]


def test_a_resumed_study_that_is_extended_stays_so(toys: Path) -> None:
    folder = toys / "runs" / "toy"
    folder.mkdir(parents=True)
    identity.keep_file(study(STUDY, "train.lr=0.1"), folder)
    file, settings = identity.kept_file(folder)
    extended = load_study(file, [*settings, "search.trials=8"])
    identity.keep_file(extended, folder)
    file, settings = identity.kept_file(folder)
    assert settings == ["train.lr=0.1", "search.trials=8"]
    assert load_study(file, settings).search == extended.search
    assert file.read_text().startswith(STUDY) and file.read_text().count("# --set") == 2


def test_a_folder_without_a_study_is_named(toys: Path) -> None:
    with pytest.raises(Mistake, match="there is no study in nowhere"):
        identity.kept_file(Path("nowhere"))


def test_baselines_outside_the_study_folder_are_left_where_they_are(toys: Path) -> None:
    (toys / "deep").mkdir()
    (toys / "deep" / "study.yaml").write_text(STUDY + "  confirm: {against: [../plain.yaml]}\n")
    Path("plain.yaml").write_text(PLAIN)
    folder = toys / "runs" / "toy"
    folder.mkdir(parents=True)
    identity.keep_file(load_study("deep/study.yaml"), folder)
    assert [path.name for path in folder.iterdir()] == ["study.yaml"]
    assert not (toys / "runs" / "plain.yaml").exists()


def test_aggregates_of_confirmed_configurations(toys: Path) -> None:
    its = study(CONFIRMED)
    planner = Planner(its, "d" * 64)
    chosen = [Candidate("default", "default", its.base, {}), Candidate("plain", "baseline", its.baselines["plain"], {})]
    cells = confirm_cells(planner, chosen, (1000, 1001))
    outs = {
        cells[0].key: Outcome(cells[0].key, "complete", {"test/gap": 0.2, "test/swap": 1.0, "valid/gap": 9}),
        cells[1].key: Outcome(cells[1].key, "failed", {"test/gap": 5.0}),
        cells[2].key: Outcome(cells[2].key, "complete", {"test/gap": 0.4}),
    }
    first, second = identity.arm_ends(Result(chosen=chosen, cells=cells, confirmed=outs))
    assert first["values"] == pytest.approx({"mean/test/gap": 0.3, "sd/test/gap": 0.02**0.5, "mean/test/swap": 1.0})
    assert first["cells"] == {"1000": cells[0].key, "1001": cells[2].key}
    assert (first["arm"], first["tags"]) == (cells[0].signature, {"ablate.role": "default"})
    assert second["values"] == {} and second["name"] == "plain"


def test_aggregates_of_one_name_do_not_mix_two_configurations(toys: Path) -> None:
    its = study(CONFIRMED)
    planner = Planner(its, "d" * 64)
    other = replace(its.baselines["plain"])
    chosen = [Candidate("default", "default", its.base, {}), Candidate("default", "baseline", other, {})]
    cells = confirm_cells(planner, chosen, (1000,))
    outs = {cell.key: Outcome(cell.key, "complete", {"test/gap": float(i)}) for i, cell in enumerate(cells)}
    first, second = identity.arm_ends(Result(chosen=chosen, cells=cells, confirmed=outs))
    assert (first["values"], second["values"]) == ({"mean/test/gap": 0}, {"mean/test/gap": 1})
    assert second["arm"] == cells[1].signature
