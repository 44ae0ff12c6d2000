"""Study files: every mistake gets its sentence, its line and its column, and all of them come at once.

The table of mistakes is in `mistakes/`: a change to the toy study (`old => new`) or to the toy ablation
(`DESIGN old => new`), a line added to the plain one (`PLAIN + line`), a whole file (`TEXT content`) or a `--set`, then
the sentences without `study.yaml:`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toys import DESIGN, PLAIN, STUDY, toys

from ablate.config import load_study
from ablate.errors import Mistake
from ablate.trial import Trial

__all__ = ["toys"]
TABLES = sorted((Path(__file__).parent / "mistakes").glob("*.txt"))


def cases() -> list[pytest.param]:
    """Every entry of the tables."""
    found = []
    for table in TABLES:
        for block in table.read_text().split("\n\n"):
            head, *sentences = block.rstrip("\n").split("\n")
            found.append(pytest.param(head, [its.strip() for its in sentences], id=f"{table.stem}: {head[:60]}"))
    return found


def study_of(head: str) -> tuple[str, list[str]]:
    """The file and the overrides of an entry."""
    plain = head.replace("\\n", "\n").replace("\\t", "\t")
    if head.startswith("--set "):
        return STUDY, [head.removeprefix("--set ")]
    if head.startswith("PLAIN + "):
        return PLAIN + plain.removeprefix("PLAIN + "), []
    if head.startswith("TEXT"):
        return plain.removeprefix("TEXT").removeprefix(" "), []
    old, new = plain.removeprefix("DESIGN ").split(" => ")
    base = DESIGN if head.startswith("DESIGN ") else STUDY
    assert base.count(old) == 1, f"{old!r} must occur once in the toy study"
    return base.replace(old, new), []


def mistakes(text: str, *overrides: str) -> list[str]:
    """The sentences about a study."""
    Path("study.yaml").write_text(text)
    with pytest.raises(Mistake) as caught:
        load_study("study.yaml", overrides)
    return [sentence.removeprefix("study.yaml:") for sentence in caught.value.sentences]


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(("head", "sentences"), cases())
def test_mistake(head: str, sentences: list[str]) -> None:
    text, overrides = study_of(head)
    assert mistakes(text, *overrides) == sentences


@pytest.mark.usefixtures("toys")
def test_all_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    text = """\
name: toy study
data: {name: sines, windw: 10}
model: {name: sequence, z_dim: {uniform: [2, 4]}, inference: half}
loss: {recon: -1, scc: 1, sccc: {weight: 1}}
train: {epochs: 0, lr: {choice: []}, lr: 1}
search: {algorithm: tpe, trials: 0, metric: valid/gap, mode: up}
resources: {workers: 0}
extra: 1
"""
    assert mistakes(text, "train.batch_size=many", "oops") == [
        "1:7: name must be letters, digits, '.', '_' or '-', at most 64, not 'toy study'",
        "2:21: unknown data key 'windw'; did you mean 'window'? (known: name, root, window, hop_ms)",
        "3:33: model.z_dim: cannot take a range of kind uniform; it can take choice or int",
        "3:62: model.inference must be 'full' or 'factorised', not 'half'",
        "4:15: loss.recon.weight must be at least 0, not -1",
        "4:27: unknown loss term 'sccc'; did you mean 'scc'? (known: beta, kl_f, kl_z, recon, scc)",
        "5:17: train.epochs must be at least 1, not 0",
        "5:25: train.lr: the choice is empty",
        "5:38: train.lr is given twice (first in line 5)",
        "6:34: search.trials must be at least 1, not 0",
        "6:62: search.mode must be 'max' or 'min', not 'up'",
        "7:22: resources.workers must be at least 1, not 0",
        "8:1: unknown key 'extra'; did you mean 'train'? (known: name, data, model, loss, train, metrics, search, "
        "design, resources, tracking)",
        "--set train.batch_size=many: train.batch_size must be a whole number, not 'many'",
        "--set oops: write --set section.key=value",
    ]


def test_a_file_that_cannot_be_read(toys: Path) -> None:
    with pytest.raises(Mistake, match=r"^absent\.yaml: cannot be read \(no such file or directory\)$"):
        load_study("absent.yaml")
    with pytest.raises(Mistake, match=r"^\.: cannot be read \(is a directory\)$"):
        load_study(".")
    (toys / "latin.yaml").write_bytes(b"name: \xe9t\xe9\n")
    with pytest.raises(Mistake, match=r"^latin\.yaml: the file is not UTF-8 text \(byte 6\)$"):
        load_study("latin.yaml")
    (toys / "control.yaml").write_text("name: a\nmodel: \x01\n")
    with pytest.raises(Mistake, match=r"^control\.yaml:2:8: this is not YAML: "):
        load_study("control.yaml")


def test_the_default_configuration(toys: Path) -> None:
    (toys / "study.yaml").write_text(STUDY)
    study = load_study("study.yaml")
    assert study.base.plain() == {
        "data": {"name": "sines", "root": "here", "window": 10, "hop_ms": 10.0},
        "model": {
            "name": "sequence",
            "z_dim": 4,
            "f_dim": 8,
            "hidden": [64, 64],
            "inference": "full",
            "causal": False,
            "dropout": None,
        },
        "loss": {
            "beta": 1.0,
            "recon": {"weight": 1.0, "warmup": None, "options": {"variance": 0.3}},
            "kl_z": {"weight": 1.0, "warmup": None, "options": {}},
            "scc": {"weight": 0.0, "warmup": None, "options": {}},
        },
        "train": {
            "epochs": 8,
            "batch_size": 32,
            "lr": 0.002,
            "seed": 0,
            "clip": None,
            "weight_decay": 0,
            "betas": [0.9, 0.999],
            "patience": None,
            "stop_on": "valid/elbo",
            "select": "valid/gap",
            "select_mode": "max",
            "init_from": None,
            "init_digest": None,
            "precision": "float32",
            "wall_limit": None,
        },
        "metrics": {"every": 1, "probes": {"variance": 1.0}, "swap": {}},
        "resources": {"workers": 1, "cpus_per_worker": 1, "gpus_per_worker": 0},
    }
    assert (study.name, study.text, study.source, study.warnings) == ("toy", STUDY, Path("study.yaml"), ())
    assert list(study.space) == ["model.z_dim", "loss.beta", "loss.scc.weight"]


@pytest.mark.parametrize(
    ("written", "default"),
    [
        ("lr: {choice: [0.3, 0.1]}", 0.3),
        ("lr: {uniform: [0.1, 0.3]}", 0.2),
        ("lr: {loguniform: [0.01, 1]}", 0.1),
        ("lr: {int: [1, 4]}", 3.0),
        ("lr: {uniform: [0.1, 0.3], default: 0.3}", 0.3),
        ("patience: {int: [1, 4]}", 3),
        ("patience: {choice: [null, 2]}", None),
        ("betas: {choice: [[0.5, 0.9], [0.9, 0.999]]}", (0.5, 0.9)),
    ],
)
def test_the_default_of_a_range(toys: Path, written: str, default: object) -> None:
    (toys / "study.yaml").write_text(STUDY.replace("epochs: 8", written))
    train = load_study("study.yaml").base.train
    value = getattr(train, written.split(":")[0])
    assert value == pytest.approx(default)
    assert type(value) is type(default)


def test_overrides_replace_any_leaf(toys: Path) -> None:
    (toys / "study.yaml").write_text(STUDY)
    sets = [
        "train.epochs=4",
        "loss.scc=3",
        "loss.kl_z.warmup.end=2",
        "model.z_dim.default=2",
        "train.lr={uniform: [1, 2]}",
    ]
    study = load_study("study.yaml", sets)
    assert study.base.train.epochs == 4
    assert study.base.loss.terms["scc"].weight == 3
    assert study.base.loss.terms["kl_z"].warmup is not None
    assert study.base.loss.terms["kl_z"].warmup.at(1) == 0.5
    assert study.base.model.options.z_dim == 2
    assert list(study.space) == ["model.z_dim", "loss.beta", "train.lr"]
    assert study.overrides == tuple(sets)
    assert study.text == STUDY


def test_a_number_is_short_for_a_weight(toys: Path) -> None:
    (toys / "short.yaml").write_text(PLAIN)
    (toys / "long.yaml").write_text(PLAIN.replace("{recon: 1, kl_z: 1}", "{recon: {weight: 1}, kl_z: {weight: 1}}"))
    assert load_study("short.yaml").base == load_study("long.yaml").base
    ranged = STUDY.replace("scc: {weight: {choice: [0, 1, 10]}}", "scc: {choice: [0, 1, 10]}")
    (toys / "ranged.yaml").write_text(ranged)
    assert load_study("ranged.yaml").space["loss.scc.weight"].values == (0.0, 1.0, 10.0)


def test_only_named_metrics_are_measured(toys: Path) -> None:
    (toys / "study.yaml").write_text(STUDY + "metrics: {every: 2, probes: }\n")
    metrics = load_study("study.yaml").base.metrics
    assert (metrics.every, list(metrics.chosen)) == (2, ["probes"])


@pytest.mark.parametrize("name", ["dsae_losses", "vae_baseline"])
def test_shipped_studies_have_no_mistake(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    study = load_study(f"search_spaces/{name}.yaml")
    assert study.name == name
    assert study.warnings == ()
    assert Trial.from_plain(json.loads(json.dumps(study.base.plain()))) == study.base


def test_the_shipped_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    study = load_study("search_spaces/dsae_losses.yaml")
    assert study.search is not None
    assert study.search.confirm is not None
    assert (study.search.trials, study.search.metric, study.search.mode) == (24, ("valid/probe_gap",), ("max",))
    assert study.search.confirm.seeds == (1000, 1001, 1002, 1003, 1004)
    assert {path: its.default for path, its in study.space.items()} == {
        "model.z_dim": 8,
        "loss.beta": 1,
        "loss.scc.weight": 0,
        "loss.cyclic.weight": 0,
        "loss.mi.weight": 0,
    }
    vae = study.baselines["vae_baseline"]
    assert vae.data == study.base.data
    assert (vae.train.select, vae.train.select_mode) == ("valid/probe_gap", "max")


def test_importing_the_configuration_is_light() -> None:
    code = "import sys, ablate.config; print([m for m in ('torch', 'ray', 'mlflow', 'optuna') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout.strip() == "[]"
