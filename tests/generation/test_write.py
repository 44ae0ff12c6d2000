"""`ablate generate` on runs that were trained: files, their content, the same for a seed, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from command import Call, call, own_runs, recorded_once, runs, sentence
from PIL import Image
from training.cells import DATA, cell, plain, run

from ablate.errors import Mistake
from ablate.generation.run import locate
from ablate.generation.write import Asked, generate
from ablate.metrics.evaluate import decode, encode

__all__ = ["call", "own_runs", "recorded_once", "runs"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: `vowels`, two epochs of a tiny DSAE, and below `study/checkpoints` two cells of a study."""
    folder = tmp_path_factory.mktemp("runs")
    run(cell(plain(epochs=2), folder / "vowels"))
    for name, seed in (("1f2e3d4c-s0", 0), ("1f2e3d4c-s1000", 1000)):
        run(cell(plain(epochs=1, seed=seed), folder / "study" / "checkpoints" / name))
    return folder


def content(out: Path) -> dict[str, bytes]:
    return {its.name: its.read_bytes() for its in sorted(out.iterdir())}


def test_swaps_on_disk_are_the_codes_mixed_and_decoded(trained: Path, tmp_path: Path) -> None:
    from ablate.generation.run import open_run

    files = generate("vowels", trained, Asked("swap", count=2, seed=3), tmp_path / "out")
    assert sorted(its.name for its in files) == [
        *("made.npz", "made.png", "made_1_1.wav", "made_1_2.wav", "made_2_1.wav", "made_2_2.wav", "manifest.json")
    ]
    found = np.load(tmp_path / "out" / "made.npz")
    its = open_run("vowels", trained)
    x = (found["x"] - its.data.scaling.mean) / its.data.scaling.sd
    import torch

    read = encode(its.model, torch.from_numpy(x.astype(np.float32)))
    mixed = {"f": read["f"][[0]], "z": read["z"][[1]]}
    np.testing.assert_allclose(found["x_hat"][0, 1], its.data.denormalise(decode(its.model, mixed))[0], atol=1e-4)
    np.testing.assert_allclose(found["code_z"], read["z"].numpy(), atol=1e-5)
    sound, rate = soundfile.read(tmp_path / "out" / "made_1_2.wav")
    assert rate == 16000 and np.abs(sound).max() > 0
    assert Image.open(tmp_path / "out" / "made.png").size[0] > 200
    told: dict[str, Any] = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (told["mode"], told["count"], told["length"], told["prefix"]) == ("swap", 2, DATA["window"], None)
    assert told["sha256"] == its.digest and told["files"] == [its.name for its in files][:-1]
    assert len(told["read"]) == 2


def packed_sprites(root: Path) -> Path:
    """Six characters of three actions each, in noise of their own colour."""
    rng = np.random.default_rng(0)
    labels = [(at // 3, 1 + at % 3, at % 3, 1, *[at // 3 % 4] * 4) for at in range(18)]
    columns = ["character", "sheet_row", "action", "direction", "body", "shirt", "pant", "hair"]
    images = rng.integers(0, 40, (18, 8, 64, 64, 3)) + 12 * np.arange(18)[:, None, None, None, None]
    root.mkdir()
    for split, rows in (("train", slice(0, 12)), ("test", slice(12, 18))):
        np.savez(root / f"lpc_sprites_{split}.npz", images=images[rows].astype(np.uint8), labels=labels[rows],
                 label_columns=columns)  # fmt: skip
    return root


def test_pictures_move_in_a_gif(tmp_path: Path) -> None:
    data = {"name": "lpc_sprites", "root": str(packed_sprites(tmp_path / "sprites")), "size": 32, "valid_share": 0.3}
    its = plain(model={"name": "dsae", "preset": "tiny", "decoder": None}, epochs=1) | {"data": data}
    run(cell(its, tmp_path / "runs" / "sprites"))
    for mode, length in (("swap", 8), ("prediction", 8), ("unconditional", 5)):
        out = tmp_path / mode
        files = generate("sprites", tmp_path / "runs", Asked(mode, count=2, length=length, seed=0), out)
        assert sorted(its.name for its in files) == ["made.gif", "made.npz", "made.png", "manifest.json"]
        made = np.load(out / "made.npz")["x_hat"]
        assert made.shape[-4:] == (length, 3, 32, 32) and 0 <= made.min() < made.max() <= 1
        with Image.open(out / "made.gif") as film:
            assert film.n_frames == length and film.is_animated
    found = np.load(tmp_path / "swap" / "made.npz")
    assert found["x"].shape == (2, 8, 3, 32, 32) and 0 <= found["x"].min() < found["x"].max() <= 1


def test_the_same_seed_gives_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    for out, seed in (("one", 0), ("two", 0), ("three", 1)):
        generate("vowels", trained, Asked("prediction", count=2, seed=seed), tmp_path / out)
    one, two, three = (content(tmp_path / out) for out in ("one", "two", "three"))
    assert one == two and one["made.npz"] != three["made.npz"]


def test_a_prediction_may_be_longer_than_the_windows(trained: Path, tmp_path: Path) -> None:
    asked = Asked("prediction", count=2, length=15, prefix=3, items=("test/0", "test/3"))
    generate("vowels", trained, asked, tmp_path / "long")
    found = np.load(tmp_path / "long" / "made.npz")
    assert found["x_hat"].shape == (2, 15, 12) and found["x"].shape == (2, 10, 12)
    assert json.loads((tmp_path / "long" / "manifest.json").read_text())["prefix"] == 3


def test_a_prediction_does_not_see_what_it_is_to_predict(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frames behind the prefix are replaced by others in what is read from the data."""
    from ablate.data.dataset import Split

    asked = Asked("prediction", count=2, prefix=4)
    generate("vowels", trained, asked, tmp_path / "as_they_are")
    read = Split.x

    def changed(self: Split, rows: Any) -> Any:
        x = read(self, rows)
        x[:, 4:] = -x[:, 4:] + 1
        return x

    monkeypatch.setattr(Split, "x", changed)
    generate("vowels", trained, asked, tmp_path / "changed")
    one, other = (np.load(tmp_path / name / "made.npz") for name in ("as_they_are", "changed"))
    assert not np.allclose(one["x"], other["x"])
    np.testing.assert_array_equal(one["x_hat"], other["x_hat"])


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked("swap", count=1), "--count 1: mode swap makes at least 2"),
        (Asked("swap", length=20), "--length 20: in mode swap this model makes 10 frames, as in its data"),
        (Asked("swap", prefix=2), "--prefix belongs to mode prediction, not swap"),
        (Asked("prediction", prefix=10), "--prefix 10: must be at least 1, at most 10, and less than --length 10"),
        (Asked(split="tests"), "--split: unknown split 'tests'; did you mean 'test'?"),
        (Asked("interpolation", items=("test/0", "test/x")), "--item: unknown item 'test/x'"),
        (Asked("interpolation", items=("test/0",)), "--item: mode interpolation reads 2 sequences here, not 1"),
        (Asked("swap", count=99), "--count 99: the test split has 10 sequences to read"),
    ],
)
def test_what_cannot_be_made(trained: Path, tmp_path: Path, asked: Asked, words: str) -> None:
    with pytest.raises(Mistake) as caught:
        generate("vowels", trained, asked, tmp_path / "out")
    assert words in str(caught.value) and not (tmp_path / "out").exists()


def test_runs_by_their_names(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    best = trained / "vowels" / "best.pt"
    assert {locate(name, trained).file.resolve() for name in ("vowels", "./vowels", str(best), "vowels/best.pt")} == {
        best
    }
    assert locate("study/1f2e3d4c-s1000", trained).trial["train"]["seed"] == 1000
    assert locate("study/1f2e3d4c-s0", trained).trial["train"]["seed"] == 0
    for name, words in (
        (
            "study/1f2e",
            "study study has 2 runs with a checkpoint whose label begins with '1f2e' (1f2e3d4c-s0, 1f2e3d4c",
        ),
        ("study/9", "study study has no run with a checkpoint whose label begins with '9'"),
        ("vowel", "there is no run 'vowel' (a run is named by a checkpoint"),
    ):
        with pytest.raises(Mistake) as caught:
            locate(name, trained)
        assert words in str(caught.value), name


def test_weights_without_or_with_another_configuration(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    folder.mkdir()
    (folder / "best.pt").write_bytes((trained / "vowels" / "best.pt").read_bytes())
    with pytest.raises(Mistake, match=r"beside .*best\.pt there is no configuration\.json that says what it is of"):
        generate(str(folder), tmp_path, Asked(), tmp_path / "out")
    told = json.loads((trained / "vowels" / "configuration.json").read_text())
    (folder / "configuration.json").write_text(json.dumps(told | {"cell": "d" * 64}))
    with pytest.raises(Mistake, match="is of another configuration than the one described beside it"):
        generate(str(folder), tmp_path, Asked(), tmp_path / "out")


def test_the_command(call: Call, trained: Path, tmp_path: Path) -> None:
    folder = ["--folder", str(trained)]
    said = call("generate", "vowels", "--mode", "conditional-f", "--count", "2", *folder)
    assert said.code == 0 and "generated-conditional-f/made_2.wav" in said.out
    again = call("generate", "vowels", "--mode", "conditional-f", *folder)
    sentence(again, "--out generated-conditional-f is there already; name another, for nothing is written over")
    sentence(call("generate", "vowels", "--mode", "conditional", *folder), "--mode: unknown mode 'conditional'")
    sentence(call("generate", "nothing", *folder), "there is no run 'nothing'")


def test_runs_of_the_record(call: Call, runs: Path) -> None:
    """By the id of a run in MLflow, and by the study, which stands for the best trial of its search."""
    from ablate.reporting.status import record_of

    cells = [its for its in record_of(runs).cells(metrics=("objective",)) if its.status == "complete"]
    best = max(cells, key=lambda its: its.metrics["objective"])
    for name, its in ((cells[0].run_id, cells[0]), (best.study, best)):
        place = Path(its.tags["ablate.checkpoint"]).parent.name
        sentence(call("generate", name, "--folder", str(runs)), f"{place}/best.pt there is no configuration.json")
