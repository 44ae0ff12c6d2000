"""A leave-one-out on a surface whose answer is known: plan, sweep, record, report; cut anywhere, the same bytes."""

import random
from pathlib import Path
from typing import Any

import pytest
from search.sweeps import World
from toys import toys

from ablate.config import load_study
from ablate.design.surface import EXAMPLE
from ablate.reporting.ablation import Ablation
from ablate.reporting.cells import recorded_rows, write_csv
from ablate.reporting.question import Question
from ablate.search.identity import unpack

__all__ = ["toys"]
STUDY = """\
name: surface
data: {name: sines, window: 10}
model: {name: sequence, z_dim: 4}
loss: {recon: 1, kl_z: 1, kl_f: 1, scc: 10}
train: {epochs: 8}
design:
  kind: leave_one_out
  components:
    - scc
    - cyclic: {on: {model.causal: true}, off: {model.causal: false}}
    - mi: {on: {model.f_dim: 8}, off: {model.f_dim: 6}}
    - kl_f
  seeds: 9
  metric: test/gap
  mode: max
  margin: 0.02
"""


def measured(cell: dict[str, Any], epoch: int) -> dict[str, Any]:
    """The surface instead of training."""
    names = list(EXAMPLE.main)
    off = {"full": [], "base": names}.get(cell["name"], [cell["name"].removeprefix("no_")])
    value = EXAMPLE.measured([name for name in names if name not in off], cell["seed"])
    its = {"epoch": epoch, "objective": value, "at": epoch, "valid/gap": value}
    return its | ({"complete": True, "test/gap": value} if epoch == 2 else {})


@pytest.fixture
def world(toys: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    its = World(toys, monkeypatch)
    monkeypatch.setattr(its.tune, "report", measured)
    return its


def report(world: World) -> Ablation:
    """From the record alone."""
    question = Question.of(unpack(world.study_tags("surface")["ablate.design"]))
    return Ablation.of(question, recorded_rows(question, world.record.cells(), world.record.arms("surface")))


def test_known_effects_are_found(world: World) -> None:
    world.sweep(STUDY)
    its = report(world).effects
    assert its is not None
    effects = {row.contrast: (row.effect, row.verdict) for row in its.rows}
    expected = {
        "no_scc": (-0.017188, "within seed noise - undecided"),
        "no_cyclic": (-0.019197, "worse"),
        "no_mi": (0.014037, "within seed noise - undecided"),
        "no_kl_f": (-0.001376, "equivalent"),
    }
    for name, (effect, verdict) in expected.items():
        assert effects[name] == (pytest.approx(effect, abs=5e-7), verdict)
    assert its.seed_sd == pytest.approx(0.023594, abs=5e-7) and its.rho == pytest.approx(0.694918, abs=5e-7)
    assert report(world).found.values["full"][0] == pytest.approx(0.625376754927, rel=1e-12)


def test_cut_at_random_and_resumed_gives_the_same_bytes(world: World) -> None:
    world.sweep(STUDY)
    whole = report(world)
    draw, cuts = random.Random(1), 0
    left = draw.randint(3, 12)

    def goes_on(cell: dict[str, Any]) -> bool:
        nonlocal left
        left -= 1
        return left > 0

    world.tune.before = goes_on
    text = STUDY.replace("name: surface", "name: again").replace("epochs: 8", "epochs: 7")  # no cell is taken over
    while world.sweep(text).interrupted:
        cuts, left = cuts + 1, draw.randint(3, 12)
    assert cuts >= 3
    question = Question.of(unpack(world.study_tags("again")["ablate.design"]))
    its = Ablation.of(question, recorded_rows(question, world.record.cells(), world.record.arms("again")))
    assert its.page().replace("again", "surface") == whole.page()
    assert its.csv().replace("again", "surface") == whole.csv()
    table = write_csv(question, its.rows).replace("again", "surface")
    assert [line.split(",")[4:] for line in table.splitlines()] == [
        line.split(",")[4:] for line in write_csv(whole.question, whole.rows).splitlines()
    ]


def test_the_closing_tables_are_those_of_the_report(world: World) -> None:
    from ablate.reporting.closing import leave, rows_of

    Path("study.yaml").write_text(STUDY)
    result = world.sweep(STUDY)
    study = load_study("study.yaml")
    files = {event["file"]: event["text"] for event in leave(study, result, None)}  # type: ignore[arg-type]
    assert set(files) == {"effects.md", "effects.csv", "effects.tex"}
    assert (files["effects.md"], files["effects.csv"]) == (report(world).page(), report(world).csv())
    assert len(rows_of(study, result)) == 45
