"""What Ray Train is asked for, and what is said when it cannot be had; nothing is started."""

from pathlib import Path
from typing import Any

import pytest

from ablate.search.failures import classify


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A cell on two workers, outside a Tune trial."""
    from ray.train import UserCallback

    from ablate.training import distributed

    monkeypatch.setattr(distributed, "TuneReportCallback", UserCallback)
    resources = {"workers": 2, "cpus_per_worker": 0.5, "gpus_per_worker": 0}
    return {"trial": {"resources": resources}, "key": "abc-s0", "scratch": str(tmp_path), "sweep": "0123456789"}


def test_ray_train_itself_tries_nothing_again(config: dict[str, Any]) -> None:
    """With max_failures of 1 its controller answers the removal of a group with another one that nobody removes."""
    from ablate.training.distributed import make_trainer

    its = make_trainer(config)
    limits = its.run_config.failure_config
    assert (limits.max_failures, limits.controller_failure_limit, limits.max_preemption_failures) == (0, 3, 3)
    assert its.scaling_config.num_workers == 2 and its.scaling_config.resources_per_worker == {"CPU": 0.5}
    assert its.backend_config.backend == "gloo"


def test_every_attempt_is_a_run_of_its_own(config: dict[str, Any]) -> None:
    """A run of the same name would go on from the state that another left in the storage."""
    from ablate.training.distributed import make_trainer

    names = {make_trainer(config).run_config.name for _ in range(2)}
    assert len(names) == 2 and all(name.startswith("abc-s0-") for name in names)


def test_only_the_janitor_cleans(config: dict[str, Any]) -> None:
    """Ray's own cleaner is there in what Ray makes, and not in ours; the groups have names instead."""
    from ray.train.torch import TorchTrainer

    from ablate.training.distributed import make_trainer

    names = [type(its).__name__ for its in make_trainer(config)._create_default_callbacks()]
    ray_own = [type(its).__name__ for its in TorchTrainer(lambda: None)._create_default_callbacks()]
    assert "PlacementGroupCleanerCallback" in ray_own and "PlacementGroupCleanerCallback" not in names
    assert "GroupName" in names and {*ray_own} - {*names} == {"PlacementGroupCleanerCallback"}


def test_workers_on_gpus_speak_nccl(config: dict[str, Any]) -> None:
    from ablate.training.distributed import make_trainer

    config["trial"]["resources"]["gpus_per_worker"] = 1
    its = make_trainer(config)
    assert its.backend_config.backend == "nccl"
    assert its.scaling_config.use_gpu and its.scaling_config.resources_per_worker == {"CPU": 0.5, "GPU": 1}


def test_workers_that_find_no_place_are_named(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.train import ControllerError
    from ray.train.torch import TorchTrainer
    from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError

    from ablate.training.distributed import run

    def fit(its: TorchTrainer) -> None:
        raise ControllerError(WorkerGroupStartupTimeoutError(2))

    monkeypatch.setattr(TorchTrainer, "fit", fit)
    with pytest.raises(TimeoutError, match=r"no place for 2 workers of 0.5 CPU each; tried 4 times") as raised:
        run(config)
    assert classify(raised.value)[0] == "infra"
