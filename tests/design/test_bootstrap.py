"""p_first against the worked example 9.7 and by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from ablate.design.bootstrap import all_resamples, drawn_resamples, p_first

FULL = [0.612, 0.655, 0.587, 0.634, 0.601]
NO_MI = [0.620, 0.648, 0.603, 0.629, 0.610]
NO_CYCLIC = [0.606, 0.661, 0.580, 0.640, 0.595]
NO_SCC = [0.571, 0.629, 0.560, 0.577, 0.585]


def test_worked_example():
    arms = [FULL, NO_SCC, NO_MI, NO_CYCLIC]
    assert p_first(arms, "max") == pytest.approx([0, 0, 0.788160, 0.211840], abs=1e-12)
    drawn = p_first(arms, "max", drawn_resamples(5))
    assert drawn == pytest.approx([0, 0, 0.786878687869, 0.213121312131], abs=1e-11)


def test_nine_seeds_are_drawn(shared: Path):
    study = json.loads((shared / "statistics_oracles.json").read_text())["B_leave_one_out_n9"]["inputs"]
    shares = p_first([study[name] for name in ("full", "no_scc", "no_cyclic", "no_mi", "no_kl_f")], "max")
    assert shares == pytest.approx([0, 0, 0, 0.021052, 0.978948], abs=1e-6)


def test_two_seeds_by_hand():
    index = all_resamples(2)
    assert index.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    # means of the resamples: 1 2 2 3 against 2 2 2 2: worse, two ties, better
    assert p_first([[1.0, 3.0], [2.0, 2.0]], "max", index) == [0.5, 0.5]
    assert p_first([[1.0, 3.0], [1.5, 1.5]], "max", index) == [0.75, 0.25]
    assert p_first([[1.0, 3.0], [1.5, 1.5]], "min", index) == [0.25, 0.75]


def test_indices_come_from_the_named_stream():
    assert drawn_resamples(5).shape == (9999, 5)
    assert drawn_resamples(5).reshape(-1)[:10].tolist() == [0, 0, 1, 4, 0, 0, 2, 4, 1, 2]


def test_shares_add_up_and_mirror():
    y = np.random.default_rng(0).normal(size=(4, 7))
    assert sum(p_first(y, "max")) == pytest.approx(1)
    assert p_first(y, "max") == p_first(-y, "min")
