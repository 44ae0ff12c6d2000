"""One Tuner run: the only place that builds one."""

import os
import shutil
from pathlib import Path
from typing import Any

from ablate.search.interrupts import Orderly

RETRIES = 3  # of a trial lost to the machines; the only retry layer there is


def run_tuner(
    *,
    study: str,
    callbacks: list[Any],
    request: dict[str, float],
    concurrent: int,
    scratch: Path,
    samples: int,
    reuse: bool,
    scheduler: Any = None,
    searcher: Any = None,
    cells: list[dict[str, Any]] | None = None,
) -> bool:
    """Run the cells of a list in order, or `samples` suggestions; False if SIGINT has ended it before.

    Nothing is read from Tune's own results: the callbacks have seen everything, and the scratch folder is deleted.
    """
    from ray import tune
    from ray.tune.trainable.function_trainable import wrap_function

    from ablate.search.environment import passed_on
    from ablate.search.lost import expect_lost_actors
    from ablate.search.trial import trial

    expect_lost_actors()
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(2, concurrent))
    environment = passed_on()
    trainable = wrap_function(lambda config: trial(config, environment), name=f"{study} trial")
    trainable.__name__ = f"{study} trial"
    orderly = Orderly()
    try:
        with orderly.watching():
            tune.Tuner(
                tune.with_resources(trainable, request),
                param_space={} if cells is None else {"cell": tune.grid_search(cells)},
                tune_config=tune.TuneConfig(
                    num_samples=samples,
                    search_alg=searcher,
                    scheduler=scheduler,
                    max_concurrent_trials=concurrent,
                    reuse_actors=reuse,
                    trial_name_creator=lambda its: its.trial_id,
                    trial_dirname_creator=lambda its: its.trial_id,
                ),
                run_config=tune.RunConfig(
                    name=study,
                    storage_path=str(scratch),
                    callbacks=callbacks,
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=RETRIES),
                ),
            ).fit()
    except KeyboardInterrupt:
        return False
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return not orderly.called
