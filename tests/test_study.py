"""Studies: points of the space, baselines and warnings."""

from pathlib import Path

import pytest
from toys import PLAIN, STUDY, toys

from ablate.config import load_study
from ablate.errors import Mistake
from ablate.study import Study

__all__ = ["toys"]
CONFIRM = "  confirm: {top: 2, seeds: 3, against: [plain.yaml]}\n"


def load(folder: Path, text: str = STUDY, **others: str) -> Study:
    """A study beside other files."""
    for name, content in {"study": text, **others}.items():
        (folder / f"{name}.yaml").write_text(content)
    return load_study(folder / "study.yaml")


def refused(folder: Path, text: str, **others: str) -> list[str]:
    """The sentences about a study beside other files."""
    with pytest.raises(Mistake) as caught:
        load(folder, text, **others)
    return [sentence.replace(f"{folder}/", "") for sentence in caught.value.sentences]


def test_a_point_of_the_space(toys: Path) -> None:
    study = load(toys)
    trial = study.configuration({"loss.scc.weight": 10, "loss.beta": 0.5})
    assert (trial.loss.terms["scc"].weight, trial.loss.beta, trial.model.options.z_dim) == (10.0, 0.5, 4)
    assert study.point(trial) == {"model.z_dim": 4, "loss.beta": 0.5, "loss.scc.weight": 10.0}
    assert study.configuration(study.point(study.base)) == study.base


@pytest.mark.parametrize(
    ("point", "sentence"),
    [
        ({"loss.scc.weight": 2}, "2 is not in choice [0, 1, 10]"),
        (
            {"loss.scc": 1},
            "unknown searched leaf 'loss.scc'; did you mean 'loss.scc.weight'? "
            "(known: model.z_dim, loss.beta, loss.scc.weight)",
        ),
    ],
)
def test_a_point_outside_the_space(toys: Path, point: dict[str, object], sentence: str) -> None:
    with pytest.raises(Mistake) as caught:
        load(toys).configuration(point)
    assert str(caught.value) == sentence


def test_the_number_of_points(toys: Path) -> None:
    assert load(toys).points is None
    finite = load(toys, STUDY.replace("{loguniform: [0.1, 10], default: 1}", "{int: [1, 3]}"))
    assert finite.points == 2 * 3 * 3
    assert finite.plain()["space"] == {
        "model.z_dim": {"choice": [2, 4], "default": 4},
        "loss.beta": {"int": [1.0, 3.0], "default": 2.0},
        "loss.scc.weight": {"choice": [0.0, 1.0, 10.0], "default": 0.0},
    }


def test_a_grid_that_nobody_could_run(toys: Path) -> None:
    text = STUDY.replace("{loguniform: [0.1, 10], default: 1}", "{int: [1, 1000000000]}").replace("  trials: 6\n", "")
    text = text.replace("tpe", "grid").replace("  scheduler: {name: asha, grace: 3}\n", "")
    assert refused(toys, text) == [
        "study.yaml:13:1: the grid has 6000000000 points, more than 100000; use tpe, or fewer values"
    ]


def test_baselines_are_judged_as_the_study_is(toys: Path) -> None:
    study = load(toys, STUDY + CONFIRM + "resources: {workers: 2}\nmetrics: {every: 2}\n", plain=PLAIN)
    assert study.search is not None
    assert study.search.confirm is not None
    assert study.search.confirm.seeds == (1000, 1001, 1002)
    base = study.baselines["plain"]
    assert base.model.name == "frames"
    assert (base.train.select, base.train.select_mode) == ("valid/gap", "max")
    assert (base.metrics.every, list(base.metrics.chosen)) == (2, ["probes"])  # swap needs a static latent
    assert base.resources == study.resources
    assert study.warnings == ("plain.yaml differs from the study in data.window",)


def test_a_baseline_may_say_how_its_best_epoch_is_chosen(toys: Path) -> None:
    study = load(toys, STUDY + CONFIRM, plain=PLAIN + "train: {select: valid/recon, select_mode: min}\n")
    train = study.baselines["plain"].train
    assert (train.select, train.select_mode) == ("valid/recon", "min")


def test_mistakes_of_a_baseline_are_told_with_those_of_the_study(toys: Path) -> None:
    broken = PLAIN.replace("kl_z: 1", "kl_zz: 1")
    assert refused(toys, STUDY.replace("epochs: 8", "epochs: 0") + CONFIRM, plain=broken) == [
        "study.yaml:12:17: train.epochs must be at least 1, not 0",
        "plain.yaml:4:18: unknown loss term 'kl_zz'; did you mean 'kl_z'? (known: beta, kl_f, kl_z, recon, scc)",
    ]


def test_a_baseline_is_one_configuration_on_the_same_data(toys: Path) -> None:
    confirm = CONFIRM.replace("plain.yaml", "plain.yaml, other.yaml, twin.yaml, study.yaml")
    sentences = refused(
        toys,
        STUDY + confirm,
        plain=PLAIN,
        twin=PLAIN,
        other=PLAIN.replace("name: plain", "name: other").replace("{name: sines}", "{name: folder, root: x}"),
    )
    assert sentences == [
        "study.yaml:19:53: search.confirm.against: other.yaml is on data 'folder', not 'sines'",
        "study.yaml:19:65: search.confirm.against: twin.yaml has the name 'plain', which is taken",
        "study.yaml:19:76: search.confirm.against: study.yaml has the name 'toy', which is taken",
    ]


def test_of_a_baseline_with_a_search_the_default_is_taken(toys: Path) -> None:
    other = STUDY.replace("name: toy", "name: plain").replace("metric: valid/gap", "metric: valid/f_from_z")
    study = load(toys, STUDY + CONFIRM, plain=other)
    assert study.baselines["plain"] == study.base


def test_a_baseline_reads_the_data_where_the_study_does(toys: Path) -> None:
    (toys / "study.yaml").write_text(STUDY + CONFIRM)
    (toys / "plain.yaml").write_text(PLAIN.replace("{name: sines}", "{name: sines, root: somewhere, window: 30}"))
    baseline = load_study(toys / "study.yaml", ["data.root=moved"]).baselines["plain"]
    assert (baseline.data.options.root, baseline.data.options.window) == ("moved", 30)


def test_a_file_beside_the_study_goes_before_one_of_that_name_in_the_working_directory(toys: Path) -> None:
    (toys / "studies").mkdir()
    (toys / "studies" / "study.yaml").write_text(STUDY + CONFIRM)
    (toys / "plain.yaml").write_text(PLAIN.replace("{name: frames}", "{name: frames, z_dim: 3}"))
    elsewhere = load_study(toys / "studies" / "study.yaml").baselines["plain"]
    assert elsewhere.model.options.z_dim == 3
    (toys / "studies" / "plain.yaml").write_text(PLAIN)
    beside = load_study(toys / "studies" / "study.yaml").baselines["plain"]
    assert beside.model.options.z_dim == 8


def test_weights_to_start_from_enter_the_identity_by_their_content(toys: Path) -> None:
    (toys / "run").mkdir()
    (toys / "run" / "best.pt").write_bytes(b"abc")
    study = load(toys, STUDY.replace("epochs: 8", "init_from: run"))
    assert study.base.train.init_from == str(toys / "run")
    assert study.base.train.init_digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (toys / "empty").mkdir()
    assert refused(toys, STUDY.replace("epochs: 8", "init_from: empty")) == [
        f"study.yaml:12:20: train.init_from: {toys}/empty/best.pt cannot be read (no such file or directory)".replace(
            f"{toys}/", ""
        )
    ]


def test_warnings(toys: Path) -> None:
    finite = STUDY.replace("{loguniform: [0.1, 10], default: 1}", "1").replace("trials: 6", "trials: 7")
    study = load(toys, finite.replace("kl_z: {weight: 1}", "kl_z: {weight: 1, warmup: {end: 50}}"))
    assert study.warnings == (
        "loss.kl_z.warmup ends at epoch 50 of 8: no epoch trains with the full weight",
        "search.trials is 7, but the space has only 6 points",
    )
