"""Identity: the texts of statistics.md 1 with their digests, and two pins that guard old experiments."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from toys import PLAIN, STUDY, toys

from ablate import signature as identity
from ablate.config import load_study
from ablate.registry import DATASETS, LOSSES, METRICS, MODELS, NoOptions
from ablate.signature import canonical, cell_key, cell_text, data_text, delta, sha256, shortest, signature, text
from ablate.trial import Loss, Metrics, Resources, Term, Train, Trial, Warmup

__all__ = ["toys"]

EXAMPLE = {
    "loss.recon.weight": 1,
    "loss.kl_f.weight": 1,
    "loss.kl_z.weight": 10,
    "loss.scc.weight": 0.1,
    "model.inference": "factorised",
    "data.window": 20,
}
CONFIG = "1831fe9c8e3f71cedccc603e99e0dee392279f582524be3066bf7c9fb0d34ba9"
DATA = "d2a46834a3140ba2e23994622f83633f1743ab77aafc67da187224bb0d30a016"


@pytest.fixture
def trial(toys: Path) -> Trial:
    (toys / "study.yaml").write_text(STUDY)
    return load_study("study.yaml").base


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (10, "10"),
        (10.0, "10"),
        (0.1, "0.1"),
        (1e-4, "0.0001"),
        (1e-5, "1e-05"),
        (1e22, "1e+22"),
        (-0.0, "0"),
        (True, "true"),
        (None, "null"),
        ("mse", '"mse"'),
        ("é", '"\\u00e9"'),
        ([1, 2.0, "a"], '[1,2,"a"]'),
        ((1, False), "[1,false]"),
    ],
)
def test_canonical_values(value: Any, written: str) -> None:
    assert canonical(value) == written


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="no place in a configuration"):
        canonical(value)


def test_text_and_signature() -> None:
    assert text(EXAMPLE) == (
        "ablate-config 1\ndata.window=20\nloss.kl_f.weight=1\nloss.kl_z.weight=10\nloss.recon.weight=1\n"
        'loss.scc.weight=0.1\nmodel.inference="factorised"\n'
    )
    assert sha256(text(EXAMPLE)) == CONFIG
    assert sha256(text(dict(reversed(EXAMPLE.items())) | {"loss.kl_z.weight": 10.0})) == CONFIG
    assert sha256(text(EXAMPLE | {"loss.scc.weight": 0.2})) == (
        "68cce59d0ec6c57e96fc8583fb26d699c12a557032e6addf73d0bfeec0117c6b"
    )
    assert sha256(text({})) == "9bc639255e5bd2eb40b8d74725910248506a535e44e42394f1958de53a3fbb1d"


def test_data_digest_and_cell_key() -> None:
    assert data_text([]) == "ablate-data 1\n"
    assert sha256(data_text([])) == DATA
    assert (
        sha256(cell_text(CONFIG, DATA, 0, code=1)) == "f0ab765c9a18b510e6823cdcb954f073245297f076e9785be51ae7b991838249"
    )
    assert cell_text("c", "d", 3, [("b", "2"), ("a", "1")], code=1) == (
        "ablate-cell 1\nconfig=c\ndata=d\ncode=1\nplugin=a@1\nplugin=b@2\nseed=3\n"
    )
    splits = {"valid": ["v"], "train": ["t", "s"], "test": []}
    assert data_text([("b/x", "2"), ("a/y", "1")], splits, "generator=simvowels@1") == (
        "ablate-data 1\na/y\t1\nb/x\t2\ngenerator=simvowels@1\nsplit=train\nt\ns\nsplit=valid\nv\nsplit=test\n"
    )


def test_the_oracle_file(shared: Path) -> None:
    oracle = json.loads((shared / "statistics_oracles.json").read_text())["identity"]
    assert text(oracle["example"]["delta"]) == oracle["example"]["text"]
    assert sha256(cell_text(CONFIG, DATA, 0, code=1)) == oracle["cell"]["sha256"]
    for value, written in oracle["canonical_values"]:
        assert canonical(eval(value, {"__builtins__": {}})) == written


def test_only_what_differs_from_the_defaults_counts(trial: Trial) -> None:
    assert delta(trial) == {
        "data.name": "sines",
        "data.window": 10,
        "model.name": "sequence",
        "model.z_dim": 4,
        "loss.recon.weight": 1,
        "loss.recon.options.variance": 0.3,
        "loss.kl_z.weight": 1,
        "loss.scc.weight": 0,
        "train.select": "valid/gap",
    }


def test_what_is_no_part_of_the_identity(trial: Trial) -> None:
    same = trial.replace(
        {
            "train.seed": 5,
            "train.wall_limit": 60.0,
            "train.init_from": "elsewhere",
            "data.root": "/moved",
            "metrics.every": 3,
            "resources.workers": 2,
            "resources.cpus_per_worker": 4,
        }
    )
    assert signature(same) == signature(trial)
    assert cell_key(same, DATA) == cell_key(trial.replace({"train.seed": 5}), DATA) != cell_key(trial, DATA)


def test_present_and_absent_terms_differ(trial: Trial) -> None:
    values = trial.plain()
    del values["loss"]["scc"]
    assert signature(Trial.from_plain(values)) != signature(trial)
    assert signature(trial.replace({"train.init_digest": "0" * 64})) != signature(trial)
    values = trial.plain()
    values["loss"]["kl_z"]["warmup"] = {"end": 5}
    assert delta(Trial.from_plain(values))["loss.kl_z.warmup.end"] == 5


def test_workers_count_for_models_that_say_so(trial: Trial) -> None:
    two = trial.replace({"resources.workers": 2})
    assert signature(two) == signature(trial)
    assert delta(two.replace({"model.dropout": 0.5}))["resources.workers"] == 2
    assert "resources.workers" not in delta(trial.replace({"model.dropout": 0.5}))


def test_short_names_never_clash() -> None:
    assert shortest(["a" * 64, "b" * 64, "a" * 64]) == 8
    assert shortest(["a" * 64, "a" * 10 + "b" * 54]) == 11


def test_the_file_says_the_same_as_the_plain_form(toys: Path) -> None:
    (toys / "plain.yaml").write_text(PLAIN)
    trial = load_study("plain.yaml").base
    assert signature(Trial.from_plain(json.loads(json.dumps(trial.plain())))) == signature(trial)


def owners() -> dict[str, type]:
    """Every dataclass whose fields are leaves of a configuration, by the path that leads to them."""
    found: dict[str, type] = {"train": Train, "loss": Loss, "loss.*": Term, "loss.*.warmup": Warmup}
    found |= {"metrics": Metrics, "resources": Resources}
    parts = (("data", DATASETS), ("model", MODELS), ("loss", LOSSES), ("metrics", METRICS))
    found |= {
        f"{section}.{entry.name}": entry.options
        for section, registry in parts
        for entry in registry
        if entry.distribution == "ablate"
    }
    return found


def test_pin_excluded_leaves() -> None:
    excluded = {
        f"{path}.{its.name}"
        for path, owner in owners().items()
        for its in dataclasses.fields(owner)
        if not its.metadata.get("identity", True)
    }
    assert excluded == EXCLUDED, "a leaf entered or left the identity: old records would be matched wrongly"


def defaults() -> dict[str, str]:
    """Canonical default of every leaf that has one."""
    return {
        f"{path}.{its.name}": canonical(identity.default(its))
        for path, owner in owners().items()
        for its in dataclasses.fields(owner)
        if not isinstance(identity.default(its), dict | NoOptions | type(dataclasses.MISSING))
    }


def test_pin_defaults() -> None:
    """`defaults.txt` holds the format number and every default: a new leaf is a new line, a change is a new format."""
    first, *lines = (Path(__file__).parent / "defaults.txt").read_text().splitlines()
    pinned, now = dict(line.split("=", 1) for line in lines), defaults()
    changed = [path for path in pinned if now.get(path) != pinned[path]]
    assert not changed, (
        f"the defaults of {changed} changed: raise the format number in signature.py and in defaults.txt"
    )
    assert first == f"ablate-config {identity.FORMAT}"
    new = [f"{path}={value}" for path, value in now.items() if path not in pinned]
    assert not new, "new leaves, to be added to defaults.txt:\n" + "\n".join(new)


EXCLUDED = {
    "data.audio_folder.root",
    "data.h36m.root",
    "data.lpc_sprites.root",
    "resources.cpus_per_worker",
    "resources.gpus_per_worker",
    "resources.workers",
    "train.init_from",
    "train.seed",
    "train.wall_limit",
}
