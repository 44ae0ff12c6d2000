"""Windows and frame labels, by hand."""

import numpy as np

from ablate.data.windows import cut, evaluation_starts, frame_labels, training_starts


def test_training_windows_end_with_the_sequence() -> None:
    assert training_starts(12, 5, 3).tolist() == [0, 3, 6, 7]
    assert training_starts(11, 5, 3).tolist() == [0, 3, 6]
    assert training_starts(5, 5, 3).tolist() == [0]
    assert training_starts(4, 5, 3).tolist() == []
    assert len(training_starts(199, 20, 5)) == 37


def test_evaluation_windows_adjoin() -> None:
    assert evaluation_starts(14, 5).tolist() == [0, 5]
    assert evaluation_starts(4, 5).tolist() == []
    assert len(evaluation_starts(199, 20)) == 9


def test_cut_names_the_sequence_of_every_window() -> None:
    rows, starts = cut(np.array([6, 3, 5]), window=5, shift=1)
    assert rows.tolist() == [0, 0, 2] and starts.tolist() == [0, 1, 0]
    rows, starts = cut(np.array([3]), window=5, shift=None)
    assert rows.shape == starts.shape == (0,)


def test_a_frame_takes_the_label_at_its_centre() -> None:
    starts, stops, labels = np.array([0, 100, 250]), np.array([100, 200, 400]), np.array([7, 8, 8])
    label, overlap = frame_labels(starts, stops, labels, n_frames=8, rf=60, stride=50)
    # frames [0, 60) [50, 110) [100, 160) [150, 210) [200, 260) [250, 310) [300, 360) [350, 410)
    # centres   30       80        130        180        230        280        330        380
    assert label.tolist() == [7, 7, 8, 8, -1, 8, 8, 8]
    assert overlap.tolist() == [False, True, False, False, False, False, False, False]


def test_an_interval_hidden_inside_a_frame_is_an_overlap() -> None:
    label, overlap = frame_labels(np.array([0, 40, 50]), np.array([40, 50, 100]), np.array([1, 2, 1]), 1, 100, 100)
    assert overlap.tolist() == [True]
    assert label.tolist() == [1]
