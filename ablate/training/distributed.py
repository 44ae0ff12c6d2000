"""The two-worker and many-worker executor: the same cell inside Ray Train. The only file that imports ray.train.

Three processes read it: the trial process and Train's controller, which only wait, and each worker, which trains: what
only a worker needs is imported there.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import ray
import ray.train
import ray.train.torch
import ray.util
from ray.train import ControllerError, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError
from ray.train.v2._internal.execution.callback import WorkerGroupCallback
from ray.train.v2._internal.execution.worker_group import worker_group as worker_groups
from ray.tune.integration.ray_train import TuneReportCallback
from ray.util.placement_group import placement_group

from ablate.naming import group_prefix

if TYPE_CHECKING:
    from torch import nn

    from ablate.training.step import Step

COLLECTIVE_TIMEOUT_S = 300
GROUP_RETRIES = 3  # after a worker group that could not start, or was preempted


def run(config: dict[str, Any]) -> None:
    """Train one cell on `resources.workers` workers; reports reach Tune through the callback.

    Raises ray.train.WorkerGroupError with the original exception of each rank, TimeoutError where the workers find no
    place.
    """
    try:
        make_trainer(config).fit()
    except ControllerError as error:
        if not isinstance(error.controller_failure, WorkerGroupStartupTimeoutError):
            raise
        resources, tries = config["trial"]["resources"], GROUP_RETRIES + 1
        each = ", ".join(f"{amount:g} {kind}" for kind, amount in of_one_worker(resources).items())
        sentence = f"the cluster has no place for {resources['workers']} workers of {each} each; tried {tries} times"
        raise TimeoutError(sentence) from error


def make_trainer(config: dict[str, Any]) -> TorchTrainer:
    """Ray Train's run of a cell.

    It tries nothing again by itself: with `max_failures` of 1 or more, a controller that loses its group to the janitor
    builds another that nobody removes.
    """
    resources = config["trial"]["resources"]
    gpus = resources["gpus_per_worker"]
    return Trainer(
        worker,
        train_loop_config=config,
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo", timeout_s=COLLECTIVE_TIMEOUT_S),
        scaling_config=ScalingConfig(
            num_workers=resources["workers"], use_gpu=gpus > 0, resources_per_worker=of_one_worker(resources)
        ),
        run_config=RunConfig(
            name=f"{config['key']}-{uuid4().hex[:6]}",
            storage_path=config["scratch"],
            callbacks=[TuneReportCallback(), GroupName(group_prefix(config["key"], config["sweep"]))],  # type: ignore[list-item]
            failure_config=FailureConfig(  # type: ignore[call-arg]
                max_failures=0, controller_failure_limit=GROUP_RETRIES, max_preemption_failures=GROUP_RETRIES
            ),
        ),
    )


class Trainer(TorchTrainer):
    """TorchTrainer without Ray's own cleaner of placement groups, whose work the janitor of the sweep process does.

    The cleaner is one process more per trial, and asks the dashboard: where there is none, the end of every trial waits
    12 s for it (Ray 2.60).
    """

    def _create_default_callbacks(self) -> list[Any]:
        its = super()._create_default_callbacks()  # type: ignore[misc]
        return [one for one in its if not isinstance(one, PlacementGroupCleanerCallback)]


class GroupName(WorkerGroupCallback):
    """Gives the placement groups of the workers names, which Ray Train does not: the janitor knows them by these."""

    def __init__(self, prefix: str):
        self.prefix, self.made = prefix, 0

    def before_worker_group_start(self, worker_group_context: Any) -> None:
        """In Train's controller, which makes the group next."""
        worker_groups.placement_group = partial(placement_group, name=f"{self.prefix}{self.made}")
        self.made += 1


def of_one_worker(resources: dict[str, Any]) -> dict[str, float]:
    """What one worker asks of Ray."""
    gpus = resources["gpus_per_worker"]
    return {"CPU": resources["cpus_per_worker"]} | ({"GPU": gpus} if gpus else {})


def worker(config: dict[str, Any]) -> None:
    """What every rank does; raises freely. Reports carry the placement group, for the janitor to remove."""
    from ablate.training.cell import run_cell

    group = ray.util.get_current_placement_group().id.hex()  # type: ignore[union-attr]
    context = ray.train.get_context()
    run_cell(
        config,
        lambda report: ray.train.report(report | {"pg_id": group}),
        context.get_world_rank(),
        context.get_world_size(),
        wrap=parallel,
        device=ray.train.torch.get_device(),
    )


def parallel(step: Step) -> nn.Module:
    """DDP around model and terms, looking for parameters without gradient (about 3 % of a step).

    A term at weight 0, or one that is not there, may leave a part of the model without any (the prior, without kl_z),
    and DDP that does not look fails at the second step.
    """
    wrapped: nn.Module = ray.train.torch.prepare_model(step, parallel_strategy_kwargs={"find_unused_parameters": True})
    return wrapped
