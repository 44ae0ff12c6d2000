"""Figures show the numbers they are given: asked of their axes, and of the files."""

import math
from typing import Any

import pytest
from design.studies import NAMES, B, C, D, by_seed, cells, planned
from scipy import stats

from ablate.design.paired import summary
from ablate.reporting.curves import Course, curves, dropped, means
from ablate.reporting.figures import figures
from ablate.reporting.forest import MOST, Mark, forest
from ablate.reporting.landscape import front, pareto
from ablate.reporting.parallel import Trial, heights, ticks
from ablate.reporting.plots import KINDS, Plot, looks, render, wrapped
from ablate.reporting.question import Question
from ablate.reporting.recorded import Recorded

from .recordings import SPACE, ablation, searched

QUESTION = Question("s", "test/score", "max", "design")


def b() -> Recorded:
    return ablation(planned("leave_one_out", margin=0.01), {arm: dict(enumerate(y)) for arm, y in B.items()})


def factorial(seeds: int = 4, **lost: Any) -> Recorded:
    plan = planned("factorial", NAMES[:3], range(seeds))
    values = {arm: {seed: its[seed] for seed in range(seeds)} for arm, its in cells(plan, C).items()}
    return ablation(plan, values | lost)


def plot(its: Recorded, name: str) -> Plot:
    return next(one for one in figures(its) if one.name == name)


def axes(its: Plot) -> list[Any]:
    with looks():
        return its.draw().axes


def lines(axis: Any) -> dict[str, tuple[list[float], list[float]]]:
    """Label -> (x, y) of the lines of an axis."""
    return {str(one.get_label()): (list(one.get_xdata()), list(one.get_ydata())) for one in axis.lines}


def test_the_forest_shows_effect_interval_seeds_and_margin() -> None:
    its = b()
    (axis,) = axes(plot(its, "forest"))
    found, rows = lines(axis), its.ablation.effects.rows  # type: ignore[union-attr]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["no_scc", "no_cyclic", "no_mi", "no_kl_f"]
    for y, row in enumerate(rows):
        assert found[f"{row.contrast}: effect"] == ([row.effect], [y])
        assert found[f"{row.contrast}: interval"] == ([row.ci_lo, row.ci_hi], [y, y])
        assert found[f"{row.contrast}: seeds"][0] == pytest.approx(
            [a - r for a, r in zip(B[row.contrast], B["full"], strict=True)], abs=1e-12
        )
    (margin,) = [patch for patch in axis.patches if patch.get_label() == "margin"]
    assert (margin.get_x(), margin.get_width()) == (-0.01, 0.02)
    assert axis.get_ylim()[0] > axis.get_ylim()[1], "the first contrast stands at the top"
    marker = {str(one.get_label()): one for one in axis.lines}
    shapes = {name: marker[f"{name}: effect"].get_marker() for name in ("no_scc", "no_cyclic", "no_mi", "no_kl_f")}
    assert shapes == {"no_scc": "v", "no_cyclic": "s", "no_mi": "o", "no_kl_f": "^"}
    assert marker["no_mi: effect"].get_markerfacecolor() == "white" != marker["no_scc: effect"].get_markerfacecolor()
    assert [text.get_text() for text in axis.texts] == [
        *("9/9", "worse", "9/9", "equivalent", "9/9", "undecided", "9/9", "better")
    ]


def test_the_forest_of_a_confirmation_has_the_baselines_without_a_claim() -> None:
    its = plot(searched(), "forest")
    (axis,) = axes(its)
    effect, _ = lines(axis)["best: effect"]
    assert effect == pytest.approx([0.1 + (0 + 0 + 0.01) / 3])
    assert its.data[0][0] == "best" and "against default" in its.caption


def test_of_too_many_contrasts_the_claims_and_the_largest_are_drawn() -> None:
    marks = [Mark(f"m{i}", 0.001 * i, None, None, "1/1", "better" if i == 3 else "") for i in range(100)]
    its = forest(marks, QUESTION, "test/score", "against full", None, "its 95 % interval")
    (axis,) = axes(its)
    names = [tick.get_text() for tick in axis.get_yticklabels()]
    assert names == ["m3", *(f"m{i}" for i in range(100 - MOST + 1, 100))]
    assert f"The {MOST} of 100 with a claim or the largest effects." in its.caption and len(its.data) == 100
    assert "One seed has no interval." in its.caption


def test_interactions_show_cell_means_and_the_interval_of_the_step() -> None:
    panel = axes(plot(factorial(), "interaction"))[1]  # scc x mi; cells in order --- +-- -+- ++- --+ +-+ -++ +++
    assert panel.get_title(loc="left") == "scc × mi"
    off = [(row[0] + row[2]) / 2 for row in C], [(row[1] + row[3]) / 2 for row in C]  # mi off: scc off, scc on
    found = lines(panel)
    assert found["mi off"] == ([0, 1], pytest.approx([sum(off[0]) / 4, sum(off[1]) / 4]))
    on = [(row[4] + row[6]) / 2 for row in C], [(row[5] + row[7]) / 2 for row in C]
    assert found["mi on"] == ([0, 1], pytest.approx([sum(on[0]) / 4, sum(on[1]) / 4]))
    step = summary([high - low for low, high in zip(*off, strict=True)])
    bar = next(one for one in panel.lines if one.get_label() == "_step").get_ydata()
    start = sum(off[0]) / 4
    assert list(bar) == pytest.approx([start + step.lo, start + step.hi])  # type: ignore[operator]


def test_a_missing_cell_leaves_its_seed_out_of_an_interaction() -> None:
    lost = {"base": by_seed(None, *(row[0] for row in C[1:]))}
    (first, *_) = plot(factorial(**lost), "interaction").data
    assert first[-1] == 3 and first[3] == pytest.approx(sum((row[0] + row[4]) / 2 for row in C[1:]) / 3)


def test_half_normal_quantiles_are_the_published_ones() -> None:
    plan = planned("fractional", NAMES, range(3))
    its = plot(ablation(plan, cells(plan, D)), "half_normal")
    (axis,) = axes(its)
    quantiles = [0.089642, 0.271880, 0.463708, 0.674490, 0.920823, 1.241867, 1.802743]
    assert [row[1] for row in its.data] == pytest.approx(quantiles, abs=5e-7)
    assert [row[2] for row in its.data] == sorted(row[2] for row in its.data)
    name, x, size, lo, hi, _ = its.data[-1]
    assert (name, size) == ("scc", pytest.approx(0.04395)) and (lo, hi) == pytest.approx((0.037978, 0.049922), abs=5e-7)
    assert lines(axis)["scc"] == ([x], [size])
    kl_f = next(row for row in its.data if row[0] == "kl_f")  # -.029633 [-.035605, -.023661] is turned up
    assert kl_f[2:5] == pytest.approx((0.029633, 0.023661, 0.035605), abs=5e-7)


def test_every_seed_is_a_line_from_reference_to_arm() -> None:
    panels = axes(plot(b(), "paired"))
    assert [one.get_title(loc="left") for one in panels] == ["no_scc", "no_cyclic", "no_mi", "no_kl_f"]
    found = lines(panels[0])
    for seed, ends in enumerate(zip(B["full"], B["no_scc"], strict=True)):
        assert found[f"seed {seed}"] == ([0, 1], list(ends))
    assert found["mean"][1] == pytest.approx([0.616044, 0.575444], abs=5e-7)
    low, high = 0.616044 - 0.049971, 0.616044 - 0.031229
    assert found["interval"][1] == pytest.approx([low, high], abs=2e-6)
    assert [tick.get_text() for tick in panels[0].get_xticklabels()] == ["full", "arm"]


COURSE = Course("a", {0: [(1, 0.2), (2, 0.4), (3, 0.6)], 1: [(1, 0.4), (2, 0.5)], 2: [(1, 9.0)]}, frozenset({2}))


def test_curves_are_means_with_t_intervals_without_diverged_seeds() -> None:
    first, second, third = means(COURSE, 0.05)
    half = 12.706205 * math.sqrt(0.02 / 2)  # t of one degree of freedom, variance of .2 and .4
    assert (first.n, first.mean) == (2, pytest.approx(0.3))
    assert (first.lo, first.hi) == (pytest.approx(0.3 - half, abs=1e-6), pytest.approx(0.3 + half, abs=1e-6))
    assert (second.epoch, second.mean) == (2, pytest.approx(0.45))
    assert (third.n, third.mean, third.lo) == (1, 0.6, None) and dropped([first, second, third]) == [third]
    its = curves([COURSE], "valid/gap", None, 0.05)
    assert its is not None
    (axis,) = axes(its)
    found = lines(axis)
    assert found["mean"] == ([1, 2, 3], [first.mean, second.mean, third.mean])
    assert found["seed 2 diverged"] == ([1], [9.0]) and "n = 1 from epoch 3" in [text.get_text() for text in axis.texts]
    (band,) = [one for one in axis.collections if one.get_label() == "interval"]
    vertices = band.get_paths()[0].vertices
    assert vertices[:, 1].min() == pytest.approx(min(first.lo, second.lo))  # type: ignore[type-var]
    assert axis.get_ylim()[1] < 9, "what diverged does not set the scale"


def test_curves_of_an_ablation_stand_beside_their_reference() -> None:
    its = plot(b(), "curves")
    panels = axes(its)
    assert [one.get_title(loc="left") for one in panels] == ["full", "no_scc", "no_cyclic", "no_mi", "no_kl_f"]
    assert "reference" not in lines(panels[0])
    assert lines(panels[1])["reference"] == lines(panels[0])["mean"]
    assert its.title == "valid/score by epoch" and len(its.data) == 5 * 8


def test_one_seed_has_no_interval_and_says_so() -> None:
    for its in figures(factorial(1)):
        assert "One seed has no interval." in its.caption or its.name == "half_normal"
        labels = [label for axis in axes(its) for label in lines(axis)]
        assert not [label for label in labels if "interval" in label or label == "_step"]


def test_heights_on_an_axis_follow_the_kind_of_its_range() -> None:
    assert heights({"choice": [0, 1, 10]}, [10, 0, 1]) == [1.0, 0.0, 0.5]
    assert heights({"loguniform": [0.1, 10]}, [1, 10]) == pytest.approx([0.5, 1.0])
    assert heights({"uniform": [-1, 3]}, [0]) == [0.25] and heights({"int": [2, 6]}, [3]) == [0.25]
    assert ticks({"loguniform": [0.1, 10]}) == [(0.0, "0.1"), (pytest.approx(0.5), "1"), (1.0, "10")]


def test_parallel_coordinates_lead_every_trial_to_its_score() -> None:
    its = searched()
    (axis,) = axes(plot(its, "parallel"))
    (found,) = axis.collections
    segments = found.get_segments()
    scored = sorted(
        (row for row in its.rows if row.role == "search" and row.objective), key=lambda row: row.objective or 0
    )
    assert len(segments) == len(scored) == 12
    low, high = scored[0].objective, scored[-1].objective
    for row, segment in zip(scored, segments, strict=True):
        z, beta, scc, score = segment[:, 1]
        assert z == pytest.approx({4: 0, 8: 0.5, 16: 1}[row.point["model.z_dim"]], abs=0.026)
        assert beta == pytest.approx((math.log10(row.point["loss.beta"]) + 1) / 2)
        assert scc == pytest.approx(row.point["loss.scc.weight"] / 10, abs=0.026)
        assert score == pytest.approx((row.objective - low) / (high - low))
    assert sum(width < 1 for width in found.get_linewidths()) == 1, "the one that was ended early is thin"
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["z_dim", "beta", "scc", "valid/gap"]


def test_importance_is_drawn_with_its_intervals() -> None:
    its = plot(searched(), "importance")
    (axis,) = axes(its)
    assert [row[1] for row in its.data] == list(SPACE)
    assert [patch.get_width() for patch in axis.patches] == [row[2] for row in its.data]
    drawn = [list(one.get_xdata()) for one in axis.lines]
    assert drawn == [[row[3], row[4]] for row in its.data] and all(0 <= lo <= hi <= 1 for lo, hi in drawn)
    assert "11 complete trials" in its.caption and "ended early are left out (1)" in its.caption


@pytest.mark.long
def test_fanova_stands_beside_it_where_it_is_asked_for() -> None:
    its = next(one for one in figures(searched(confirm=False), fanova=True) if one.name == "importance")
    assert {row[0] for row in its.data} == {"PED-ANOVA", "fANOVA"} and len(axes(its)) == 2


def test_the_front_holds_what_nothing_beats() -> None:
    points = [(1.0, 1.0), (2.0, 0.5), (0.5, 2.0), (1.0, 0.9), (2.0, 0.4)]
    assert front(points, (1, 1)) == [1, 0, 2]
    assert front(points, (-1, 1)) == [2] and front(points, (-1, -1)) == [2, 3, 4]
    trials = [Trial(f"t{i}", {}, "complete", its) for i, its in enumerate(points)]
    its = pareto(["valid/a", "valid/b"], ["max", "max"], trials)
    assert its is not None
    (axis,) = axes(its)
    assert lines(axis)["front"] == ([2.0, 1.0, 0.5], [0.5, 1.0, 2.0])
    assert [row[-1] for row in its.data] == ["yes", "yes", "yes", "", ""]
    assert pareto(["valid/a"], ["max"], trials) is None


def test_a_search_for_two_objectives_has_its_front() -> None:
    its = searched(confirm=False, metric=["valid/gap", "valid/elbo"], mode=["max", "min"])
    for row in its.rows:
        if row.objective is not None:
            row.values.update({"objective/0": row.objective, "objective/1": 1.0})  # type: ignore[attr-defined]
    found = plot(its, "pareto_front")
    assert [row[0] for row in found.data if row[-1]] == ["best"] and found.columns[1:3] == ("valid/gap", "valid/elbo")


@pytest.mark.long
@pytest.mark.parametrize("its", [b(), factorial(), searched()], ids=["leave_one_out", "factorial", "search"])
def test_the_same_numbers_give_the_same_bytes(its: Recorded) -> None:
    for one, again in zip(figures(its), figures(its), strict=True):
        if one.name in ("forest", "interaction", "parallel"):
            assert render(one) == render(again)
            assert one.csv() == again.csv()


def test_files_hold_no_date_and_no_version() -> None:
    found = render(plot(factorial(1), "interaction"))
    assert tuple(found) == KINDS
    assert found["png"].startswith(b"\x89PNG") and b"Software" not in found["png"]
    assert found["pdf"].startswith(b"%PDF") and not any(its in found["pdf"] for its in (b"CreationDate", b"Matplotlib"))
    assert b"<dc:date>" not in found["svg"] and b"matplotlib.org/" not in found["svg"]
    assert b"scc" in found["svg"], "text stays text"


def test_numbers_of_a_figure_are_a_table() -> None:
    lines = plot(b(), "forest").csv().splitlines()
    assert lines[0] == "contrast,effect,lo,hi,seeds,verdict" and len(lines) == 5
    name, effect, *_ = lines[1].split(",")
    assert name == "no_scc" and float(effect) == pytest.approx(-0.0406)


def test_every_figure_has_words() -> None:
    for its in (*figures(factorial()), *figures(searched())):
        assert its.alt.endswith(".") and its.caption.endswith(".") and its.title and len(its.alt) > 40
        assert len({len(row) for row in its.data} | {len(its.columns)}) == 1


def test_long_names_are_wrapped_and_cut() -> None:
    assert wrapped("z_dim=4 beta=9.482 scc=1", 12) == "z_dim=4\nbeta=9.482\nscc=1"
    assert wrapped("a" * 30, 8, 2) == "aaaaaaaa\naaaaaaa…"


def test_effects_by_the_size_of_t() -> None:
    """Bars are effect over standard error; the line is the t of .05 / 4, two-sided, with 8 degrees of freedom."""
    its = b()
    found = plot(its, "pareto_effects")
    rows = its.ablation.effects.rows  # type: ignore[union-attr]
    expected = {row.contrast: abs(row.effect) / row.se for row in rows}  # type: ignore[arg-type, operator]
    assert [name for name, *_ in found.data] == ["no_scc", "no_kl_f", "no_mi", "no_cyclic"]
    assert {name: t for name, t, _ in found.data} == pytest.approx(expected)
    (axis,) = axes(found)
    assert [bar.get_width() for bar in axis.patches] == [row[1] for row in found.data]
    assert lines(axis)["threshold"][0][0] == pytest.approx(stats.t.ppf(1 - 0.05 / 8, 8))


def test_the_ranking_and_the_spread_of_tau() -> None:
    """The worked example (9,999 resamples): no_kl_f .978948, no_mi .021052, tau mean .903827."""
    found = plot(b(), "rank")
    firsts = {name: share for what, name, share in found.data if what == "first"}
    assert (firsts["no_kl_f"], firsts["no_mi"]) == pytest.approx((0.978948, 0.021052), abs=1e-6)
    taus = [(tau, share) for what, tau, share in found.data if what == "tau"]
    assert sum(share for _, share in taus) == pytest.approx(1)
    assert sum(tau * share for tau, share in taus) == pytest.approx(0.903827, abs=1e-6)
    left, right = axes(found)
    assert [tick.get_text() for tick in left.get_yticklabels()][:2] == ["no_kl_f", "no_mi"]
    assert lines(right)["5 % quantile"][0][0] == pytest.approx(0.8)
