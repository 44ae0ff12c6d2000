"""Cells: their names and addresses, what travels to a trial process, and which record of a cell counts."""

import json
import math
from pathlib import Path

import pytest
from toys import toys

from ablate.config import load_study
from ablate.data.dataset import load_data
from ablate.errors import Mistake
from ablate.search.plan import Outcome, Planner, address, final, newest, next_attempts, once, outcome
from ablate.signature import cell_key, signature
from ablate.study import Study
from ablate.trial import Trial

from .world import CONFIRMED, DATA, DEFAULT, POINT, config, planner, recorded

__all__ = ["toys"]
OWN = """\
name: own
data: {name: simvowels, utterances: UTTERANCES}
model: {name: dsae}
loss: {recon: 1, kl_f: 1, kl_z: 1}
"""


def digest_of(study: Study) -> str:
    return load_data((study.base.data.name, study.base.data.options), workers=1).digest


def test_a_point_becomes_a_cell(toys: Path) -> None:
    its = planner()
    cell = its.searched(POINT)
    trial = its.study.configuration(POINT)
    assert (cell.trial, cell.signature, cell.key) == (trial, signature(trial), cell_key(trial, DATA))
    assert (cell.role, cell.point, cell.seed, cell.test, cell.pictures) == ("search", POINT, 0, False, False)
    assert cell.name == "z_dim=2 beta=0.5 scc=10"
    assert cell.label == f"{cell.signature[:8]}-s0"
    assert its.searched(DEFAULT, "grid").name == "default" and its.searched(DEFAULT, "grid").role == "grid"


def test_a_point_outside_the_space_is_refused(toys: Path) -> None:
    with pytest.raises(Mistake, match="is not in choice"):
        planner().searched(POINT | {"model.z_dim": 3})


def test_replicates_share_the_signature_and_differ_in_the_key(toys: Path) -> None:
    its = planner(CONFIRMED)
    searched = its.searched(POINT)
    one, other = (its.confirmed(searched.trial, "best", seed, POINT, pictures=seed == 1000) for seed in (1000, 1001))
    assert searched.signature == one.signature == other.signature
    assert len({searched.key, one.key, other.key}) == 3
    assert (one.seed, one.role, one.test, one.pictures, other.pictures) == (1000, "confirm", True, True, False)
    assert one.label == f"{one.signature[:8]}-s1000"


def test_a_later_attempt_has_a_folder_of_its_own(toys: Path) -> None:
    first = planner().searched(POINT)
    again = planner(attempts={first.key: 3}).searched(POINT)
    assert again.key == first.key and again.attempt == 3 and again.label == first.label + "-a3"
    assert address(config(again, toys)) == {"cell": first.key, "attempt": 3}
    assert planner(attempts={"other": 3}).searched(POINT).attempt == 1


def test_what_travels_is_json_and_leads_back_to_the_trial(toys: Path) -> None:
    cell = planner().searched(POINT)
    its = config(cell, toys, ("valid/gap", "valid/swap"))
    assert json.loads(json.dumps(its)) == its
    assert Trial.from_plain(its["trial"]) == cell.trial
    assert its["folder"] == str(toys / "checkpoints" / cell.label) and Path(its["folder"]).is_absolute()
    assert (its["objectives"], its["sweep"], its["key"]) == (["valid/gap", "valid/swap"], "this-sweep", cell.label)


def test_the_outcome_of_a_record(toys: Path) -> None:
    cell = planner().searched(POINT)
    its = outcome(recorded(cell, "failed", failure="diverged", why="nan: kl_z, epoch 2", metrics={}))
    assert (its.key, its.status, its.failure, its.why) == (cell.key, "failed", "diverged", "nan: kl_z, epoch 2")
    assert its.run_id == f"run-toy-{cell.label}" and math.isnan(its.objective)
    assert outcome(recorded(cell)).objective == 0.5


def test_an_outcome_without_a_value_is_not_a_number() -> None:
    assert math.isnan(Outcome("k", "pruned", {}).objective)


def test_the_newest_record_of_a_cell_counts_unless_an_older_one_is_complete(toys: Path) -> None:
    cell = planner().searched(POINT)
    complete = recorded(cell, attempt=1, started=5)
    later = recorded(cell, "running", attempt=2, started=9)
    again = recorded(cell, attempt=3, started=7)
    assert newest([complete, later])[cell.key] is complete
    assert newest([later, again, complete])[cell.key] is again
    stopped, failed = recorded(cell, "stopped", started=1), recorded(cell, "failed", started=2)
    assert newest([failed, stopped])[cell.key] is failed
    assert newest([]) == {}


def test_the_attempt_that_is_made_at_each_cell(toys: Path) -> None:
    one, other = planner().searched(POINT), planner().searched(DEFAULT)
    known = [recorded(one, attempt=2, started=20), recorded(one, started=5), recorded(other, started=10)]
    assert next_attempts(known, 0) == {one.key: 2, other.key: 1}
    assert next_attempts(known, 15) == {one.key: 2, other.key: 2}  # the other began before the study was begun anew
    assert next_attempts(known, math.inf) == {one.key: 3, other.key: 2}


@pytest.mark.parametrize(
    ("status", "failure", "settled", "settled_with_retries"),
    [
        ("complete", "", True, True),
        ("pruned", "", True, True),
        ("failed", "diverged", True, True),
        ("failed", "code", True, False),
        ("failed", "memory", True, False),
        ("failed", "timeout", True, False),
        ("failed", "infra", False, False),
        ("stopped", "stopped", False, False),
        ("running", "", False, False),
    ],
)
def test_which_cells_are_settled(
    toys: Path, status: str, failure: str, settled: bool, settled_with_retries: bool
) -> None:
    its = recorded(planner().searched(POINT), status, failure=failure)
    assert (final(its), final(its, retry_failed=True)) == (settled, settled_with_retries)


def test_each_cell_once_the_first_of_several(toys: Path) -> None:
    its = planner(CONFIRMED)
    one, twin = (its.confirmed(its.study.base, name, 1000, {}, pictures=False) for name in ("default", "twin"))
    other = its.searched(POINT)
    assert [cell.name for cell in once([one, other, twin])] == ["default", other.name]


def test_an_arm_with_other_data_has_the_key_of_a_study_of_its_own(tmp_path: Path) -> None:
    """What it saw is in the key: 12 or 10 training utterances, whichever study asks."""
    (tmp_path / "own.yaml").write_text(OWN.replace("UTTERANCES", "[10, 5, 5]"))
    text = OWN.replace("UTTERANCES", "[12, 5, 5]") + (
        "design:\n  kind: leave_one_out\n  components:\n"
        "    - many: {on: {data.utterances: [12, 5, 5]}, off: {data.utterances: [10, 5, 5]}}\n"
        "  seeds: 3\n  metric: test/elbo\n  mode: max\n"
    )
    (tmp_path / "both.yaml").write_text(text)
    both, own = load_study(tmp_path / "both.yaml"), load_study(tmp_path / "own.yaml")
    assert both.plan is not None
    here = Planner(both, digest_of(both))
    full, fewer = (here.designed(arm, 0, False) for arm in both.plan.arms)
    assert full.key == cell_key(full.trial, digest_of(both))
    assert fewer.key == cell_key(own.base, digest_of(own)) and digest_of(own) != digest_of(both)
