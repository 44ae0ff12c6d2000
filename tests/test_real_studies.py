"""The shipped studies of real data, shortened, by the real command: real Ray, MLflow, recordings and sprites."""

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ablate.records import CellRecord
from ablate.tracking import Record

pytestmark = pytest.mark.slow
SPACES = Path(__file__).parents[1] / "search_spaces"
PNG = b"\x89PNG\r\n"


@dataclass(frozen=True)
class Ran:
    """A sweep that has ended."""

    code: int
    out: str
    folder: Path

    def record(self) -> Record:
        """What it left in MLflow."""
        return Record(f"sqlite:///{self.folder}/runs/mlflow.db", "ablate")

    def cells(self, role: str) -> list[CellRecord]:
        """Its seed runs of one role."""
        return [cell for cell in self.record().cells() if cell.tags["ablate.role"] == role]

    def left(self, run_id: str) -> Path:
        """Folder of the artifacts of a run."""
        return self.folder / "runs" / "artifacts" / run_id / "artifacts"


def sweep(folder: Path, study: str, root: Path, *settings: str) -> Ran:
    """`ablate sweep` of a shipped study in a folder of its own."""
    words = [word for its in (f"data.root={root}", *settings) for word in ("--set", its)]
    more = {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "ABLATE_STORE": str(folder / "store"), "ABLATE_PAGE": "on"}
    environment = os.environ | more
    command = [str(Path(sys.executable).with_name("ablate")), "sweep", str(SPACES / f"{study}.yaml"), *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=540, check=False
    )
    return Ran(done.returncode, done.stdout + done.stderr, folder)


def unpacked(archive: Path, folder: Path) -> Path:
    """The content of an archive."""
    with zipfile.ZipFile(archive) as held:
        held.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def digits(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A grid of two sizes of f on spoken digits, then the best, the default and the VAE on two seeds; 2 epochs each."""
    folder = tmp_path_factory.mktemp("digits")
    root = unpacked(shared / "fsdd_shared.zip", folder) / "fsdd"
    short = ("train.epochs=2", "model.z_dim=4", "search.confirm.seeds=2")
    return sweep(folder, "fsdd_digits", root, *short)


@pytest.fixture(scope="module")
def sprites(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A grid of two sizes of z on sprites, then the best and the default on two fresh seeds; two epochs each."""
    folder = tmp_path_factory.mktemp("sprites")
    root = folder / "lpc"
    root.mkdir()
    for split in ("train", "test"):
        shutil.copy(shared / f"lpc_sprites_{split}.npz", root)
    return sweep(folder, "lpc_sprites", root, "train.epochs=2", "model.f_dim=8", "search.confirm.seeds=2")


def test_spoken_digits_to_the_end(digits: Ran) -> None:
    assert digits.code == 0, digits.out
    record = digits.record().study("fsdd_digits")
    assert record is not None and record.status == "FINISHED" and record.tags["ablate.status"] == "complete"
    searched, confirmed = digits.cells("grid"), digits.cells("confirm")
    assert {cell.status for cell in (*searched, *confirmed)} == {"complete"}
    assert len(searched) == 2 and len(confirmed) in (4, 6)  # 4 where the best is the default
    assert not any(key.startswith("test/") for cell in searched for key in cell.metrics)
    assert all("test/probe_gap" in cell.metrics and "test/digit_from_z" in cell.metrics for cell in confirmed)
    page = (digits.folder / "runs" / "fsdd_digits" / "report" / "report.html").read_text()
    assert "Confirmed on fresh seeds" in page and (digits.left(record.run_id) / "report.html").read_text() == page
    assert "Confirmed on fresh seeds" in digits.out and "fsdd_vae" in digits.out and "raw features" in digits.out


def test_what_was_left_out_is_told_and_recorded(digits: Ran) -> None:
    dropped = "66 of 300 items dropped: shorter than a window of 30 frames"
    split = "split by utterance, so splits share their speakers: of 6 speakers only 2 would be in validation"
    assert f"data: {dropped}" in digits.out and f"data: {split}" in digits.out
    record = digits.record().study("fsdd_digits")
    assert record is not None
    report = (digits.left(record.run_id) / "data_report.txt").read_text()
    assert report.startswith("300 items found\ntrain: 120 items, 592 windows of 30 frames\n")
    assert dropped in report and split in report


def test_confirmed_digits_leave_pictures_and_sounds(digits: Ran) -> None:
    shown = [cell for cell in digits.cells("confirm") if cell.seed == 1000]
    assert shown
    for cell in shown:
        folder = digits.left(cell.run_id)
        has_f = not cell.name.startswith("fsdd_vae")
        pictures = ["reconstructions.png"] + ["swaps.png"] * has_f
        assert all((folder / name).read_bytes().startswith(PNG) for name in pictures)
        for name in ["original.wav", "reconstruction.wav"] + ["swap.wav"] * has_f:
            samples, rate = soundfile.read(folder / name)
            assert rate == 8000 and len(samples) >= 29 * 80 + 200  # 30 frames of 25 ms every 10 ms
            assert np.sqrt(np.mean(samples**2)) > 0.005 and np.mean(np.abs(samples) > 0.999) < 0.001


def test_the_same_digits_in_another_folder_are_the_same_study(digits: Ran) -> None:
    (digits.folder / "fsdd").rename(digits.folder / "moved")
    short = ("train.epochs=2", "model.z_dim=4", "search.confirm.seeds=2")
    again = sweep(digits.folder, "fsdd_digits", digits.folder / "moved", *short)
    assert again.code == 0 and "nothing was left to run" in again.out, again.out


def test_sprites_to_the_end(sprites: Ran) -> None:
    assert sprites.code == 0, sprites.out
    searched, confirmed = sprites.cells("grid"), sprites.cells("confirm")
    assert {cell.status for cell in (*searched, *confirmed)} == {"complete"}
    assert len(searched) == 2 and len(confirmed) in (2, 4)
    for cell in confirmed:
        shares = [cell.metrics[f"test/swap_{its}"] for its in ("accuracy", "nearest_at", "nearest_bs", "nearest_bt")]
        assert sum(shares) == pytest.approx(1) and cell.metrics["test/swap_pairs"] == 256
    for cell in confirmed:
        if cell.seed == 1000:
            left = {file.name for file in sprites.left(cell.run_id).iterdir()}
            assert {"configuration.yaml", "reconstructions.png", "swaps.png"} == left
