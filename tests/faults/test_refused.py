"""What is refused before anything starts, and records that MLflow refuses for good."""

import json

import pytest

from faults.conftest import Make, Reference
from faults.scene import NAME

pytestmark = pytest.mark.slow


def test_a_trial_that_can_never_fit_is_refused(scene: Make) -> None:
    """Case 15: one sentence, exit 2, nothing written."""
    its = scene()
    code, said = its.run("sweep", "study.yaml", "--cpus", "2", "--set", "resources.cpus_per_worker=3")
    assert code == 2 and "a trial needs 3 CPU" in said and len(said.splitlines()) == 1, said
    assert [file.name for file in its.runs.iterdir()] == ["mlflow.db"]


def test_a_poisoned_record_is_put_aside_by_any_command(reference: Reference) -> None:
    """Case 10: in rejected.jsonl with one warning; everything after it is delivered."""
    its = reference.scene
    (tags,) = [tags for tags in its.tags() if json.loads(tags["ablate.point"]) == {"model.z_dim": 2}]
    poison = {"event": "metrics", "cell": tags["ablate.cell"], "epoch": 1, "values": {"no!such(name": 1.0}, "at": 1}
    after = {"event": "tags", "tags": {"ablate.after": "delivered"}}
    (its.study / "spool" / "dead.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in (poison, poison, after))
    )
    code, said = its.run("status", NAME)
    assert code == 0 and said.count("MLflow refused a record") == 1, said
    aside = [json.loads(line) for line in (its.study / "spool" / "rejected.jsonl").read_text().splitlines()]
    assert [its["record"] for its in aside] == [poison]
    assert its.tags("study")[0]["ablate.after"] == "delivered"
    assert its.table() == reference.table
