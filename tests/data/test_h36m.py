"""Human3.6M text: windows and subjects of both conventions, baselines of the real samples, damaged files."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ablate.data import h36m, skeleton
from ablate.data.dataset import Data, load_data
from ablate.data.h36m import CONSTANT, H36M, USED, H36MOptions, read_lines
from ablate.data.items import BadItem
from ablate.errors import Mistake


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motion")
    with zipfile.ZipFile(shared / "motion_h36m_format.zip") as archive:
        archive.extractall(folder)
    return folder / "h36m_format"


@pytest.fixture(scope="module")
def walking(real: Path) -> Data:
    return load_data(("h36m", H36MOptions(root=str(real))), workers=1)


def written(folder: Path, name: str, lines: np.ndarray) -> Path:
    """A file of the layout."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, lines, fmt="%.7f", delimiter=",")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three subjects and two actions, 30 lines each; every file has angles of its own."""
    rng = np.random.default_rng(0)
    for subject in ("S1", "S5", "S11"):
        for name in ("walking_1", "walking_2", "eating_1"):
            written(tmp_path, f"{subject}/{name}.txt", rng.normal(size=(30, 99)) * 0.3)
    return tmp_path


def small(root: Path, **options: object) -> H36MOptions:
    return H36MOptions(root=str(root), window=5, **options)  # type: ignore[arg-type]


def test_the_real_samples_have_the_stated_windows(walking: Data) -> None:
    assert (walking.train.n, walking.test.n, walking.valid.n) == (130, 14, 26)
    assert walking.frame == (96,) and walking.train.window == 50
    assert set(walking.test.groups) == {"S11"} and set(walking.valid.groups) == {"S5"}
    assert set(walking.train.groups) == {"S1", "S6", "S7", "S8", "S9"}
    assert walking.test.starts.tolist() == [*range(0, 14, 2)] * 2
    assert walking.report.lines() == []


def test_the_real_samples_have_the_published_baselines(walking: Data) -> None:
    """MPJPE in mm of the mean training pose and of the frame before: 107.2 and 26.2 on S11, 29.2 on S5 (data.md 5)."""

    def places(split: str) -> np.ndarray:
        return walking.denormalise(getattr(walking, split).x(slice(None))).reshape(-1, 50, 32, 3) * 1000

    test, valid = places("test"), places("valid")
    pose = places("train").mean(axis=(0, 1))
    assert np.linalg.norm(test - pose, axis=-1).mean() == pytest.approx(107.2, abs=0.1)
    assert np.linalg.norm(test[:, 1:] - test[:, :-1], axis=-1).mean() == pytest.approx(26.2, abs=0.06)
    assert np.linalg.norm(valid[:, 1:] - valid[:, :-1], axis=-1).mean() == pytest.approx(29.2, abs=0.06)


def test_the_stated_columns_are_the_constant_ones(real: Path) -> None:
    lines = np.concatenate([read_lines(path) for path in sorted(real.glob("dataset/S[16789]/*.txt"))])
    assert set(np.flatnonzero(lines.std(axis=0) < 1e-4)) - set(range(6)) == CONSTANT
    assert len(CONSTANT) == 45 and len(USED) == 48


def test_positions_in_metres_leave_the_root_where_it_is(root: Path) -> None:
    data = load_data(("h36m", small(root)), workers=1)
    lines = read_lines(root / "S11" / "eating_1.txt")
    r = lines.reshape(30, 33, 3)[::2, 1:].copy()
    r[:, 0] = 0
    expected = skeleton.positions(r) / 1000  # (15, 32, 3)
    assert data.test.items[0] == "S11/eating_1.txt"
    x = data.test.x([1])[0].numpy().reshape(5, 32, 3)  # frames 2 to 6
    np.testing.assert_allclose(x, expected[2:7], atol=1e-6)
    assert (x[:, 0] == 0).all()
    swapped = load_data(("h36m", small(root, swap_yz=True)), workers=1)
    np.testing.assert_array_equal(swapped.test.x([1])[0].numpy().reshape(5, 32, 3), x[..., [0, 2, 1]])
    thirteen = load_data(("h36m", small(root, representation="kpts13")), workers=1)
    assert thirteen.frame == (39,)
    np.testing.assert_array_equal(thirteen.test.x([1])[0].numpy().reshape(5, 13, 3), x[:, h36m.KEYPOINTS])


@pytest.mark.parametrize(("representation", "columns"), [("angles", range(6, 99)), ("angles48", USED)])
def test_angles_are_standardised(root: Path, representation: str, columns: list[int]) -> None:
    data = load_data(("h36m", small(root, representation=representation)), workers=1)
    lines = read_lines(root / "S5" / "walking_2.txt")[::2, columns]
    row = data.valid.items.index("S5/walking_2.txt")
    at = np.flatnonzero(data.valid.sequence == row)[0]
    np.testing.assert_allclose(data.denormalise(data.valid.x([at])[0]), lines[:5], atol=1e-5)
    np.testing.assert_allclose(np.concatenate(data.train_frames).std(axis=0), data.scaling.sd, rtol=1e-4)
    assert data.dataset.joints == 0  # type: ignore[attr-defined]


def test_the_other_convention_swaps_validation_and_test(root: Path) -> None:
    data = load_data(("h36m", small(root, split="prediction")), workers=1)
    assert set(data.valid.groups) == {"S11"} and set(data.test.groups) == {"S5"}
    assert data.digest != load_data(("h36m", small(root)), workers=1).digest


def test_factors_and_chosen_actions(root: Path) -> None:
    data = load_data(("h36m", small(root)), workers=1)
    assert data.factors == {"subject": "static", "action": "clip"}
    assert data.labels == {"action": ["eating", "walking"], "subject": ["S1", "S5", "S11"]}
    assert data.test.clip["action"].tolist() == [0, 1, 1] and set(data.test.static["subject"]) == {2}
    assert len(load_data(("h36m", small(root, actions=("eating",))), workers=1).test.items) == 1


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (49, []),
        (50, [0]),
        (55, [0, 1, 2, 3, 4, 5]),  # fewer than 64: all
        (113, [*range(0, 64, 2), *range(1, 64, 2)]),  # 64 starts, step 2: 32, and the 32 smallest of the others
        (149, [*range(0, 100, 2), *range(1, 28, 2)]),  # 100 starts, step 2: 50, and 14 more
        (1549, range(0, 1500, 24)),  # 1500 starts, step floor(1500 / 64) + 1 = 24: 63, and one more
    ],
)
def test_validation_windows(length: int, expected: list[int]) -> None:
    starts = H36M(H36MOptions(root="")).starts("valid", length).tolist()
    assert starts == sorted([*expected, 1] if length == 1549 else expected)
    assert len(starts) <= 64


def test_training_and_test_windows() -> None:
    dataset = H36M(H36MOptions(root=""))
    assert dataset.starts("train", 75).tolist() == dataset.starts("test", 75).tolist() == [*range(0, 26, 2)]
    assert dataset.starts("train", 49).tolist() == []


def damage(root: Path, line: int, text: str | None) -> None:
    """One line of a training file replaced; None takes its last column away."""
    path = root / "S1" / "walking_2.txt"
    lines = path.read_text().splitlines()
    lines[line - 1] = lines[line - 1].rpartition(",")[0] if text is None else text
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("line", "text", "reason"),
    [
        (3, None, "line 3: 98 columns instead of 99"),
        (30, ",".join(["0.5"] * 100), "line 30: 100 columns instead of 99"),
        (7, "", "line 7: no columns instead of 99"),
        (2, ",".join(["0.5"] * 98 + ["nan"]), "line 2, column 98: nan is not finite"),
        (2, ",".join(["1e999"] + ["0.5"] * 98), "line 2, column 0: inf is not finite"),
        (9, ",".join(["0.5"] * 5 + ["left"] + ["0.5"] * 93), "line 9, column 5: 'left' is no number"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(root: Path, line: int, text: str | None, reason: str) -> None:
    damage(root, line, text)
    with pytest.raises(Mistake) as caught:
        load_data(("h36m", small(root)), workers=1)
    head, told = caught.value.sentences
    assert head.startswith("data h36m: 1 of 9 items are bad (11.1%, more than data.max_bad 1.0%)")
    assert told == f"S1/walking_2.txt: {reason}"
    data = load_data(("h36m", small(root, max_bad=0.2)), workers=1)
    assert data.report.lines() == [f"skipped S1/walking_2.txt: {reason}"]


def test_empty_files_and_files_that_are_no_text(tmp_path: Path) -> None:
    for content, reason in [(b"", "zero length: the file has no lines"), (b"1,2\xff", "no text: byte 3 is not ASCII")]:
        (tmp_path / "walking_1.txt").write_bytes(content)
        with pytest.raises(BadItem, match=reason):
            read_lines(tmp_path / "walking_1.txt")


def test_a_trailing_empty_line_and_other_line_ends_are_no_damage(root: Path) -> None:
    path = root / "S1" / "walking_1.txt"
    before = read_lines(path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert (read_lines(path) == before).all()


def test_unknown_subjects_and_names_are_bad_files(root: Path) -> None:
    written(root, "S2/walking_1.txt", np.zeros((10, 99)))
    written(root, "S1/notes.txt", np.zeros((10, 99)))
    data = load_data(("h36m", small(root, max_bad=0.5)), workers=1)
    assert data.report.lines() == [
        "skipped S1/notes.txt: not named like walking_1.txt",
        "skipped S2/walking_1.txt: subject S2 is in none of the splits",
    ]


def test_short_sequences_are_dropped_and_counted(root: Path) -> None:
    written(root, "S1/posing_1.txt", np.zeros((8, 99)))  # 4 frames of a window of 5
    data = load_data(("h36m", small(root)), workers=1)
    assert data.report.lines() == ["1 of 10 items dropped: shorter than a window of 5 frames"]


def test_folders_that_are_not_what_they_should_be(root: Path, tmp_path: Path) -> None:
    def refused(**options: object) -> str:
        with pytest.raises(Mistake) as caught:
            load_data(("h36m", small(**options)), workers=1)  # type: ignore[arg-type]
        return "\n".join(caught.value.sentences)

    empty = tmp_path / "empty"
    empty.mkdir()
    assert refused(root=root / "nowhere").startswith(f"data.root: {root}/nowhere is missing; name the folder of S1")
    assert refused(root=root / "S1" / "eating_1.txt").startswith(f"data.root: {root}/S1/eating_1.txt is no folder")
    assert refused(root=empty) == f"data.root: {empty} holds no file like S1/walking_1.txt."
    wrong = refused(root=root, actions=("walkin",))
    assert wrong == "data.actions: unknown action 'walkin'; did you mean 'walking'? (known: eating, walking)"
    shutil.rmtree(root / "S5")
    lacking = refused(root=root)
    assert lacking == f"data.root: {root} holds no file of S5, the valid split of data.split dvae."
