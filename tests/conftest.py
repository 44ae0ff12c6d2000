"""Fixtures shared by all tests."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ablate.tracking import Record

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ABLATE_PAGE", "off")  # four seconds at the end of every sweep; test_real_studies has it on


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real samples: `data` of `ABLATE_SHARED` (default: `../shared` beside the checkout); skipped where absent."""
    root = Path(os.environ.get("ABLATE_SHARED", Path(__file__).parents[2] / "shared")).resolve()
    if not (root / "data").is_dir():
        pytest.skip("shared samples absent")
    return root / "data"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """One thread, so that results are bitwise repeatable."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Features prepared by tests go to a store of their own."""
    os.environ["ABLATE_STORE"] = str(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database with its tables: copying it saves the seconds of a first start."""
    from ablate.tracking import Record

    file = tmp_path_factory.mktemp("migrated") / "mlflow.db"
    Record(f"sqlite:///{file}", "template")
    return file


@pytest.fixture
def record(migrated: Path, tmp_path: Path) -> "Record":
    """An empty record of the test's own, `mlflow.db` and `artifacts` in its folder."""
    from ablate.tracking import Record

    shutil.copy(migrated, tmp_path / "mlflow.db")
    return Record(f"sqlite:///{tmp_path}/mlflow.db", "ablate", f"file://{tmp_path}/artifacts")
