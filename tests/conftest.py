"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real samples (`ABLATE_SHARED`, default `../shared` beside the checkout); the test is skipped where it is absent."""
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
