"""One Ray cluster without a dashboard for all these tests, in processes of its own; the test process is no driver."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.scene import ENVIRONMENT

from train_faults.stage import Stage

Make = Callable[..., Stage]


@pytest.fixture(scope="package")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Processes started by these tests find the plugin of faulty.py, and speak to Ray without a token."""
    site = tmp_path_factory.mktemp("site")
    installed = site / "faulty-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[ablate.plugins]\nfaulty = faulty\n")
    (site / "faulty.py").symlink_to(Path(__file__).with_name("faulty.py"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # one process less per trial
        patch.setenv("RAY_AUTH_MODE", "disabled")  # whatever another test leaves in the home folder
        patch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
        yield


@pytest.fixture(scope="package")
def cluster(plugin: None) -> Iterator[Any]:
    """Two CPUs, no dashboard."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 2, "resources": {"head": 100}, "include_dashboard": False}
    its = Cluster(initialize_head=True, head_node_args=head)
    yield its
    its.shutdown()


@pytest.fixture
def stage(plugin: None, migrated: Path, tmp_path: Path) -> Iterator[Make]:
    """Makes studies in the test's folder, and ends what they started."""
    made: list[Stage] = []

    def make(cluster: Any = None, **options: Any) -> Stage:
        made.append(Stage(tmp_path, migrated, cluster, **options))
        return made[-1]

    yield make
    for its in made:
        its.scene.clear()
