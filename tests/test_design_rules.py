"""The design section of a study: typed components, its plan, what arms become, and what the record keeps of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from toys import DESIGN, PLAIN, STUDY, toys

from ablate.config import load_study
from ablate.design.kept import kept, restored
from ablate.design.options import Budget, Sequential
from ablate.errors import Mistake
from ablate.study import Study

__all__ = ["toys"]
COMPONENTS = "    - scc\n    - inference: [full, factorised]\n"
SEQUENTIAL = "seeds: {max: 15, step: 4, budget: {cpu_hours: 2}}"


def load(text: str = DESIGN, *overrides: str) -> Study:
    Path("study.yaml").write_text(text)
    return load_study("study.yaml", overrides)


def test_a_design_becomes_arms_and_the_metric_chooses_epochs(toys: Path) -> None:
    study = load()
    assert study.search is None and study.plan is not None
    assert [arm.name for arm in study.plan.arms] == ["full", "no_scc", "no_inference"]
    assert (study.plan.seeds, study.plan.m, study.plan.test) == ((0, 1, 2, 3, 4), 2, "t")
    full, without = study.arm("full"), study.arm("no_inference")
    assert full == study.base
    assert without.model.options.inference == "factorised" and without.loss == full.loss
    assert study.arm("no_scc").loss.terms["scc"].weight == 0  # present, so that it is still logged
    assert (study.base.train.select, study.base.train.select_mode) == ("valid/gap", "max")
    assert study.judged == ("valid/gap",) and study.mode == "max"


def test_values_of_components_get_the_types_of_their_leaves(toys: Path) -> None:
    levels = "    - wide: {on: {model.hidden: [8, 8], loss.kl_z.weight: 2}, off: {model.hidden: [4]}}\n"
    study = load(DESIGN.replace(COMPONENTS, levels))
    assert study.plan is not None
    on, off = study.plan.arm("full").leaves, study.plan.arm("no_wide").leaves
    assert on == {"model.hidden": (8, 8), "loss.kl_z.weight": 2.0} and type(on["loss.kl_z.weight"]) is float
    assert off == {
        "model.hidden": (4,),
        "loss.kl_z.weight": 1.0,
    }  # what one level names alone keeps its value in the other
    assert study.arm("no_wide").model.options.hidden == (4,)


def test_a_study_with_a_metric_of_the_validation_split(toys: Path) -> None:
    assert load(DESIGN, "design.metric=valid/f_from_z", "design.mode=min").base.train.select_mode == "min"


KINDS = {
    "leave_one_out": "  include_base: true\n",
    "add_one_in": "",
    "cumulative": "",
    "factorial": "  order: 3\n",
    "fractional": "  generators: [C=AB]\n",
    "screening": "",
    "path": "",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seeds", ["seeds: 3", "seeds: [7, 2]", SEQUENTIAL])
def test_the_record_gives_back_the_plan(toys: Path, kind: str, seeds: str) -> None:
    if kind == "path" and seeds == SEQUENTIAL:
        return
    three = COMPONENTS + "    - causal: {on: {model.causal: true}, off: {model.causal: false}}\n"
    three += "    - kl_z\n    - train.lr: [1e-3, 1e-2]\n" if kind == "screening" else ""
    text = (
        DESIGN.replace("leave_one_out", kind).replace("  margin", KINDS[kind] + "  margin").replace(COMPONENTS, three)
    )
    study = load(text.replace("seeds: 5", seeds))
    assert study.plan is not None
    values: dict[str, Any] = json.loads(json.dumps(study.plain()))
    again = restored(values["design"], values["base"])
    assert again.plain() == study.plan.plain()
    assert [its.name for its in again.components] == [its.name for its in study.plan.components]
    assert again.design.seeds == study.plan.design.seeds and kept(again) == values["design"]


def test_the_record_knows_what_acts_at_evaluation_only(toys: Path) -> None:
    late = "    - late: {on: {model.causal: true}, off: {model.causal: false}, probe: false}\n    - scc\n"
    study = load(DESIGN.replace(COMPONENTS, late))
    assert study.plan is not None and [its.probe for its in study.plan.components] == [False, True]
    values = json.loads(json.dumps(study.plain()))
    again = restored(values["design"], values["base"])
    assert [its.probe for its in again.components] == [False, True] and again.plain() == study.plan.plain()


def test_a_grid_has_any_number_of_levels(toys: Path) -> None:
    rows = "    - row: {none: {loss.scc.weight: 0}, weak: {loss.scc.weight: 1}, narrow: {model.z_dim: 2}}\n"
    study = load(DESIGN.replace(COMPONENTS, rows).replace("leave_one_out", "grid"))
    assert study.plan is not None
    assert [arm.name for arm in study.plan.arms] == ["row=none", "row=weak", "row=narrow"]
    assert study.arm("row=weak").model.options.z_dim == 4 and study.arm("row=narrow").loss.terms["scc"].weight == 10


def test_the_test_of_the_first_plan_is_kept(toys: Path) -> None:
    study = load(DESIGN, "design.seeds=9")
    assert study.plan is not None and study.plan.test == "sign_flip"
    values = kept(study.plan) | {"decides": "t"}
    assert restored(values, study.base.plain()).test == "t"


def test_sequential_seeds_and_their_budget(toys: Path) -> None:
    study = load(DESIGN.replace("seeds: 5", SEQUENTIAL))
    assert study.design is not None and study.plan is not None
    assert study.design.seeds == Sequential(15, "auto", 4, "linear", Budget(None, 2.0))
    assert study.plan.looks == (8, 12, 15) and study.plan.test == "sequential"


def test_ranges_of_retune_are_typed(toys: Path) -> None:
    space = "loss.kl_z.weight: {loguniform: [0.1, 10], default: 1}, model.z_dim: {choice: [2, 4]}"
    study = load(f"{DESIGN}  retune: {{space: {{{space}}}}}\n")
    assert study.space == {}
    assert study.retuned["model.z_dim"].values == (2, 4) and study.retuned["loss.kl_z.weight"].high == 10.0
    assert study.design is not None and study.design.retune is not None
    assert study.design.retune.space["loss.kl_z.weight"] == {"loguniform": [0.1, 10.0], "default": 1.0}
    values = json.loads(json.dumps(study.plain()))
    assert restored(values["design"], values["base"]).design.retune == study.design.retune


def test_a_baseline_has_no_design(toys: Path) -> None:
    Path("plain.yaml").write_text(
        PLAIN + "design: {kind: add_one_in, components: [kl_z], metric: test/gap, mode: max}\n"
    )
    Path("study.yaml").write_text(STUDY + "  confirm: {against: plain.yaml}\n")
    with pytest.raises(Mistake, match=r"plain\.yaml:5:1: a baseline is a single configuration and has no design"):
        load_study("study.yaml")


def test_terms_that_contradict_each_other_in_one_arm(toys: Path) -> None:
    levels = "    - size: {on: {train.batch_size: 32}, off: {train.batch_size: 31}}\n"
    with pytest.raises(Mistake, match=r"arm 'no_size': train\.batch_size 31 cannot be divided among 2 workers"):
        load(DESIGN.replace(COMPONENTS, levels) + "resources: {workers: 2}\n")


def test_mistakes_of_other_sections_come_with_those_of_the_design(toys: Path) -> None:
    with pytest.raises(Mistake) as caught:
        load(DESIGN.replace("- scc", "- sccc").replace("margin: 0.01", "margin: -1"), "resources.cpus_per_worker=0")
    begins = ["study.yaml:12:7: design.components: unknown", "study.yaml:17:11: design.margin", "--set resources"]
    assert [its[: len(begin)] for its, begin in zip(caught.value.sentences, begins, strict=True)] == begins


FILES = """\
name: toy
data: {name: sines, window: 10}
model: {name: frames, z_dim: 4}
loss: {recon: {weight: 1, options: {variance: 0.3}}, kl_z: 1}
train: {epochs: 3}
design:
  kind: grid
  components:
    - model: {files: [plain.yaml, more/whole.yaml]}
  seeds: 3
  metric: test/elbo
  mode: max
"""
WHOLE = """\
name: whole
data: {name: sines, window: 20}
model: {name: sequence, z_dim: 2}
loss: {recon: 1, kl_z: 1, kl_f: 1}
train: {epochs: 500}
"""


@pytest.fixture
def files(toys: Path) -> Path:
    """Two study files that a grid names, one of them the grid's own configuration."""
    (toys / "more").mkdir()
    (toys / "more" / "whole.yaml").write_text(WHOLE)
    (toys / "plain.yaml").write_text(
        PLAIN.replace("{recon: 1,", "{recon: {options: {variance: 0.3}},").replace(
            "{name: frames}", "{name: frames, z_dim: 4}"
        )
    )
    return toys


def test_levels_may_be_the_models_and_losses_of_study_files(files: Path) -> None:
    study = load(FILES)
    assert study.plan is not None and study.plan.reference == "model=plain"
    assert [arm.name for arm in study.plan.arms] == ["model=plain", "model=whole"]
    assert study.arm("model=plain") == study.base
    arm = study.arm("model=whole")
    assert (arm.model.name, arm.model.options.z_dim, list(arm.loss.terms)) == ("sequence", 2, ["recon", "kl_z", "kl_f"])
    assert arm.loss.terms["recon"].options.variance == 1  # of its own file
    assert (arm.data, arm.train) == (study.base.data, study.base.train)  # of the study
    assert study.files == ("plain.yaml", "more/whole.yaml")
    values = json.loads(json.dumps(study.plain()))
    assert restored(values["design"], values["base"]).plain() == study.plan.plain()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("plain.yaml, ", "plane.yaml, ", "9:23: design.components: there is no file plane.yaml"),
        ("[plain.yaml, more/whole.yaml]", "[plain.yaml]", "9:7: design.components: model needs two or more different"),
        ("grid", "leave_one_out", "9:7: design.components: model needs the levels on and off, not files"),
        (
            "{files: [plain.yaml, more/whole.yaml]}",
            "{a: {model: {}}, b: {loss: {}}}",
            "model cannot be a component: a level",
        ),
        ("more/whole.yaml", "study.yaml", "is a single configuration and has no design"),
    ],
)
def test_mistakes_about_files_of_levels(files: Path, old: str, new: str, sentence: str) -> None:
    with pytest.raises(Mistake) as caught:
        load(FILES.replace(old, new))
    assert sentence in str(caught.value)


def test_a_metric_that_the_model_of_one_file_lacks(files: Path) -> None:
    (files / "plain.yaml").write_text(WHOLE.replace("whole", "plain"))
    (files / "more" / "whole.yaml").write_text(PLAIN.replace("plain", "whole"))
    with pytest.raises(Mistake) as caught:
        load(FILES.replace("frames, z_dim: 4", "sequence, z_dim: 2") + "metrics: {swap: {}, probes: {}}\n")
    assert "metric 'swap' needs" in str(caught.value)
    assert "name under metrics those that the models of all arms have" in str(caught.value)


def test_the_equal_error_rate_of_z_may_be_wanted_high(tmp_path: Path) -> None:
    """A dynamic code should not know the speaker; a static one should."""
    text = (
        "name: one\ndata: {name: simvowels}\nmodel: {name: dsae}\nloss: {recon: 1, kl_f: 1, kl_z: 1, scc: 1}\n"
        "metrics: {eer: {}}\n"
        "design: {kind: leave_one_out, components: [scc], seeds: 5, metric: test/METRIC, mode: max}\n"
    )
    (tmp_path / "one.yaml").write_text(text.replace("METRIC", "eer_z"))
    assert load_study(tmp_path / "one.yaml").design is not None
    (tmp_path / "one.yaml").write_text(text.replace("METRIC", "eer_f"))
    with pytest.raises(Mistake, match=r"design\.mode is max, but test/eer_f is better when lower; write min"):
        load_study(tmp_path / "one.yaml")
