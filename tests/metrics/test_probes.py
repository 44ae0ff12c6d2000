"""LDA by hand, halves without leakage, and the probes on codes whose content is known."""

import time

import numpy as np
import pytest

from ablate.metrics.probes import ProbeOptions, classify, halves, lda, probes, rescaled_accuracy, score

from .fakes import FakeData, FakeSplit, view_of

SPEAKERS, UTTERANCES, WINDOWS, FRAMES, VOWELS = 4, 6, 5, 8, 3


def spoken(seed: int = 0) -> tuple[FakeData, np.ndarray, np.ndarray]:
    """Data with a speaker per item and a vowel per frame; (n,) speakers and (n, T) vowels of the windows."""
    rng = np.random.default_rng(seed)
    groups = [f"S{i % SPEAKERS}" for i in range(SPEAKERS * UTTERANCES)]
    speaker = np.array([int(name[1]) for name in groups])
    item = np.repeat(np.arange(len(groups)), WINDOWS)
    vowel = rng.integers(0, VOWELS, (len(item), FRAMES))
    split = FakeSplit([f"u{i}" for i in range(len(groups))], groups, item, np.zeros((len(item), FRAMES, 1)))
    split.static, split.frame = {"speaker": speaker}, {"vowel": vowel}
    return FakeData(split, {"speaker": "static", "vowel": "frame"}), speaker[item], vowel


def one_hot(labels: np.ndarray, classes: int, noise: float = 0.05, seed: int = 1) -> np.ndarray:
    """Codes from which the labels can be read."""
    return np.eye(classes)[labels] + noise * np.random.default_rng(seed).normal(size=(*labels.shape, classes))


def run(data: FakeData, f: np.ndarray | None, z: np.ndarray) -> dict[str, float]:
    return probes(view_of(data, f, z), options=ProbeOptions())


def test_lda_by_hand() -> None:
    # Two classes on a line, means -1 and 3, variances 1 and 4: pooled 2.5, ridge 0.1 of it; the border lies at 1.
    x = np.array([[-2.0], [0.0], [1.0], [5.0]])
    weights, bias = lda(x, np.array([0, 0, 1, 1]), ridge=0.1)
    assert weights[0] == pytest.approx([-2 / 2.75, 2 / 2.75])
    assert bias == pytest.approx([0.0 * 2 / 2.75 - 0, -0.5 * (3 + 1) * 2 / 2.75])
    border = (bias[0] - bias[1]) / (weights[0, 1] - weights[0, 0])
    assert border == pytest.approx(1.0)


def test_classes_count_equally_however_many_rows_they_have() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-1, 1, (20, 1)), rng.normal(1, 1, (20, 1))])
    y = np.repeat([0, 1], 20)
    many = np.concatenate([x[:20]] * 50 + [x[20:]])
    unbalanced = lda(many, np.repeat([0, 1], [1000, 20]), 1e-3)
    for one, other in zip(lda(x, y, 1e-3), unbalanced, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_more_dimensions_than_rows_gives_the_same_function() -> None:
    rng = np.random.default_rng(0)
    x, y, new = rng.normal(size=(12, 40)), np.arange(12) % 3, rng.normal(size=(30, 40))
    means = np.stack([x[y == k].mean(0) for k in range(3)])
    pooled = np.mean([np.cov(x[y == k].T, bias=True) for k in range(3)], axis=0)
    pooled += 1e-3 * np.trace(pooled) / 40 * np.eye(40)
    inverse = np.linalg.inv(pooled)
    plain = new @ inverse @ means.T - 0.5 * np.diag(means @ inverse @ means.T)
    weights, bias = lda(x, y, 1e-3)
    ours = new @ weights + bias
    np.testing.assert_allclose(ours - ours[:, :1], plain - plain[:, :1], rtol=1e-6, atol=1e-6)


def test_classes_on_a_line_are_not_masked() -> None:
    x = np.repeat(np.arange(6.0), 10)[:, None] + 0.1 * np.random.default_rng(0).normal(size=(60, 1))
    y = np.repeat(np.arange(6), 10)
    assert (classify(lda(x, y, 1e-3), x) == y).all()


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_constant_code_is_chance(value: float) -> None:
    labels, half = np.arange(12) % 3, np.arange(12) // 6
    assert score(np.full((12, 4), value), labels, half, 1e-3) == pytest.approx(0)


def test_codes_without_variance_within_classes_are_perfect() -> None:
    labels, half = np.arange(12) % 3, np.arange(12) // 6
    assert score(np.eye(3)[labels] * 1e-6, labels, half, 1e-3) == pytest.approx(1)


def test_scores_do_not_depend_on_scale() -> None:
    rng = np.random.default_rng(0)
    labels, half = rng.integers(0, 3, 60), np.arange(60) % 2
    x = np.eye(3)[labels] + rng.normal(size=(60, 3))
    assert score(x, labels, half, 1e-3) == score(x * 2.0**-40, labels, half, 1e-3)


def test_rescaling() -> None:
    y = np.array([0, 0, 0, 0, 1, 1, 2])
    assert rescaled_accuracy(y, y) == pytest.approx(1)
    assert rescaled_accuracy(np.zeros(7, int), y) == pytest.approx(0)
    # recalls 3/4, 1/2, 1 -> mean 3/4 -> (3/4 - 1/3) / (2/3)
    assert rescaled_accuracy(np.array([0, 0, 0, 1, 1, 2, 2]), y) == pytest.approx(0.625)


def test_unlabelled_rows_and_classes_of_one_half_do_not_count() -> None:
    labels = np.array([0, 1, 0, 1, 2, -1, 0, 1, 0, 1, -1, -1])
    half = np.repeat([0, 1], 6)
    x = np.where(labels == 1, 1.0, 0.0)[:, None]
    assert score(x, labels, half, 1e-3) == pytest.approx(1)
    assert score(x, np.where(labels == 1, 1, -1), half, 1e-3) is None


def test_halves_keep_utterances_whole_and_are_stratified() -> None:
    data, _, _ = spoken()
    half = halves(data.valid.items, data.valid.groups)
    for speaker in range(SPEAKERS):
        its = half[[i for i, group in enumerate(data.valid.groups) if group == f"S{speaker}"]]
        assert its.sum() == len(its) / 2
    by_window = half[data.valid.sequence]
    sides = [set(by_window[data.valid.sequence == i]) for i in range(len(half))]
    assert all(len(side) == 1 for side in sides)


def test_halves_do_not_depend_on_the_order_of_the_items() -> None:
    items = [f"clip{i}" for i in range(30)]
    groups = [f"c{i // 9}" for i in range(30)]
    half = dict(zip(items, halves(items, groups), strict=True))
    order = np.random.default_rng(0).permutation(30)
    shuffled = halves([items[i] for i in order], [groups[i] for i in order])
    assert [half[items[i]] for i in order] == shuffled.tolist()


def test_halves_offset_lets_both_see_every_sequence() -> None:
    items = [f"{character}/{sequence}" for character in range(4) for sequence in range(9)]
    half = halves(items, [name.split("/")[0] for name in items]).reshape(4, 9)
    assert (half.sum(axis=0) == 2).all()  # each sequence lies twice in either half


def test_ideal_codes_have_a_gap_of_one() -> None:
    data, speaker, vowel = spoken()
    values = run(data, one_hot(speaker, SPEAKERS), one_hot(vowel, VOWELS))
    assert values["speaker_from_f"] == pytest.approx(1) and values["vowel_from_z"] == pytest.approx(1)
    assert values["probe_gap"] > 0.8
    assert abs(values["speaker_from_z"]) < 0.35 and abs(values["vowel_from_f"]) < 0.2
    assert set(values) == {
        *("speaker_from_f", "speaker_from_z", "speaker_from_frame", "vowel_from_z", "vowel_from_f"),
        *("static_from_f", "static_from_z", "dynamic_from_z", "dynamic_from_f"),
        *("static_gap", "dynamic_gap", "probe_gap", "weaker_half"),
    }


def test_the_gap_is_the_mean_of_both_halves() -> None:
    data, speaker, vowel = spoken()
    values = run(data, one_hot(speaker, SPEAKERS, 0.8), one_hot(vowel, VOWELS, 0.8))
    static = values["speaker_from_f"] - values["speaker_from_z"]
    dynamic = values["vowel_from_z"] - values["vowel_from_f"]
    assert values["probe_gap"] == pytest.approx((static + dynamic) / 2)
    assert values["weaker_half"] == pytest.approx(min(static, dynamic))


def test_the_gap_of_swapped_codes_is_low() -> None:
    data, speaker, _ = spoken()
    z = np.repeat(one_hot(speaker, SPEAKERS)[:, None], FRAMES, axis=1)  # only the speaker, in every frame
    f = np.random.default_rng(0).normal(size=(len(speaker), 3))
    values = run(data, f, z)
    assert values["static_gap"] < -0.8 and values["speaker_from_frame"] == pytest.approx(1)
    assert abs(values["dynamic_gap"]) < 0.3


def test_mean_z_stands_for_a_missing_f() -> None:
    data, speaker, vowel = spoken()
    z = np.concatenate([one_hot(vowel, VOWELS), np.repeat(one_hot(speaker, SPEAKERS)[:, None], FRAMES, axis=1)], axis=2)
    values = run(data, None, z)
    assert values["static_gap"] == 0
    assert values == {**values, **run(data, z.mean(axis=1), z)}


def test_scores_do_not_depend_on_the_order_of_windows_or_items() -> None:
    data, speaker, vowel = spoken()
    f, z = one_hot(speaker, SPEAKERS, 0.7), one_hot(vowel, VOWELS, 0.7)
    values = run(data, f, z)
    rng = np.random.default_rng(0)
    rows, items = rng.permutation(data.valid.n), rng.permutation(len(data.valid.items))
    old, place = data.valid, np.argsort(items)  # the item that was at i is now at place[i]
    split = FakeSplit(
        [old.items[i] for i in items], [old.groups[i] for i in items], place[old.sequence][rows], old.every
    )
    split.static, split.frame = {"speaker": old.static["speaker"][items]}, {"vowel": vowel[rows]}
    permuted = run(FakeData(split, data.factors), f[rows], z[rows])
    assert permuted == pytest.approx(values, abs=1e-12)
    assert run(data, f, z) == values


def test_clip_factors_are_read_from_the_path() -> None:
    rng = np.random.default_rng(0)
    items = [f"{c}/{s}" for c in range(8) for s in range(6)]
    groups = [name.split("/")[0] for name in items]
    action = np.array([int(name.split("/")[1]) // 2 for name in items])
    split = FakeSplit(
        items, groups, np.arange(48), np.zeros((48, 6, 1)), clip={"action": action}, apart={"direction": action}
    )
    data = FakeData(split, {"action": "clip", "direction": "apart"})
    z = rng.normal(size=(48, 6, 2)) * 0.1
    sign = np.array([[1, -1, 1, -1, 1, -1], [1, 1, -1, -1, 1, -1], [-1, 1, 1, -1, -1, 1]])  # frame means carry nothing
    z[:, :, 0] += sign[action]
    values = run(data, rng.normal(size=(48, 2)), z)
    assert values["action_from_z"] == pytest.approx(1) == values["direction_from_z"]
    assert abs(values["action_from_f"]) < 0.35
    assert values["dynamic_from_z"] == values["action_from_z"]
    assert "probe_gap" not in values and "static_from_f" not in values


def test_undefined_probes_are_left_out() -> None:
    data, speaker, vowel = spoken()
    data.valid.static["speaker"] = np.zeros(len(data.valid.items), int)
    values = run(data, one_hot(speaker, SPEAKERS), one_hot(vowel, VOWELS))
    assert not [name for name in values if name.startswith(("speaker", "static", "probe", "weaker"))]
    data.valid.frame["vowel"] = np.full_like(vowel, -1)
    assert run(data, one_hot(speaker, SPEAKERS), one_hot(vowel, VOWELS)) == {}


def test_fast_on_the_default_validation_split() -> None:
    rng = np.random.default_rng(0)
    items = [f"u{i}" for i in range(24)]
    split = FakeSplit(items, [f"S{i % 5}" for i in range(24)], np.repeat(np.arange(24), 9), np.zeros((216, 20, 1)))
    split.static = {"speaker": np.arange(24) % 5}
    split.frame = {"vowel": rng.integers(0, 5, (216, 20))}
    view = view_of(
        FakeData(split, {"speaker": "static", "vowel": "frame"}),
        rng.normal(size=(216, 16)),
        rng.normal(size=(216, 20, 8)),
    )
    seconds = []
    for _ in range(5):
        start = time.process_time()
        probes(view, options=ProbeOptions())
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.1
