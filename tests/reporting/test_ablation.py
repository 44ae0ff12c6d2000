"""The report of an ablation: its tables as published examples say, the same bytes from rows in any order."""

import csv
import io
import random
from dataclasses import replace
from typing import Any

import pytest
from design.studies import FIVE, NAMES, B, C, D, base, cells, design, planned

from ablate.design.kept import kept
from ablate.design.plan import Plan
from ablate.design.row import COLUMNS, LOOKED, OWN
from ablate.reporting.ablation import Ablation
from ablate.reporting.beside import agreement_table, probes_table
from ablate.reporting.cells import CellRow, ordered, write_csv
from ablate.reporting.question import Question
from ablate.reporting.table import markdown

MORE = {"test/static_from_f": 0.9}


def question(plan: Plan) -> Question:
    return Question.of({"name": "s", "base": base(), "design": kept(plan)})


def row(plan: Plan, arm: str, seed: int, value: float | None, **more: Any) -> CellRow:
    """A cell; without a value one that diverged."""
    status, failure = ("failed", "diverged") if value is None else ("complete", "")
    values = {} if value is None else {"test/score": value, "objective": 0.1} | MORE
    given = {"status": status, "failure": failure, "values": values, "cell": f"{arm} {seed}"} | more
    leaves = next((its.leaves for its in plan.arms if its.name == arm), {})
    return CellRow("s", "design", arm, f"{arm:x<64.64}", seed, point=leaves, **given)


def report(plan: Plan, values: Any, **more: Any) -> Ablation:
    rows = [row(plan, arm, seed, value) for arm, by_seed in values.items() for seed, value in by_seed.items()]
    random.Random(0).shuffle(rows)
    its = question(plan)
    return Ablation.of(its, ordered(its, rows), **more)


def b(**more: Any) -> Ablation:
    return report(planned("leave_one_out", margin=0.01), {arm: dict(enumerate(y)) for arm, y in B.items()} | more)


def text(its: Ablation, title: str) -> str:
    """A table as Markdown."""
    return markdown(next(table for table in its.tables() if table.title == title))


def test_the_table_of_the_worked_example() -> None:
    table = text(b(), "Effects of the arms")
    lines = [line.replace(" ", "") for line in table.splitlines() if line.startswith("|")]
    assert lines[2:] == [
        "|full|9/9|0.616±0.012|||||||||reference|",
        "|no_scc|9/9|0.5754±0.0180|-0.0406[-0.0500,-0.0312]|-2.53|.004|.016|0/9|0.05|0.74|0.0170|worse(scchelps)|",
        "|no_cyclic|9/9|0.6159±0.0160|-0.0001[-0.0052,+0.0050]|-0.01|.965|.965|3/9|0.49|0.93|0.0092|"
        "equivalent(within±0.01)|",
        "|no_mi|9/9|0.628±0.018|+0.012[+0.000,+0.024]|+0.76|.047|.094|7/9|0.70|0.55|0.021|withinseednoise-undecided|",
        "|no_kl_f|9/9|0.6363±0.0155|+0.0203[+0.0105,+0.0301]|+1.26|.004|.016|9/9|0.83|0.59|0.0177|better(kl_fhurts)|",
    ]
    assert "Exact sign-flip test, Holm over 4 contrasts at 5 %" in table and "arm minus full on 9 common seeds" in table


def test_the_answer_claims_what_was_shown_and_no_more() -> None:
    said = b().conclusion()
    assert "Scc helps (no_scc -0.0406 [-0.0500, -0.0312])." in said
    assert "Kl_f hurts (no_kl_f +0.0203 [+0.0105, +0.0301])." in said
    assert "Cyclic does not matter within ±0.01 (no_cyclic -0.0001" in said
    assert "No effect was shown for mi (no_mi +0.012 [+0.000, +0.024]); that is not evidence of none." in said
    assert "would have been found in 4 of 5 such studies" in said


def test_latex_of_the_worked_example() -> None:
    tex = b().latex()
    assert (
        r"no\_scc & 9/9 & $0.5754 \pm 0.0180$ & $-0.0406\ [-0.0500, -0.0312]$ & $-2.53$ & .016 & worse (scc helps) \\"
        in tex
    )
    assert r"Arm & Seeds & Score & Effect [95\,\% CI] & $d$ & $p_{\mathrm{Holm}}$ & Verdict \\" in tex
    assert r"\begin{tabular}{lrrrrrl}" in tex and tex.count("{") == tex.count("}") and "no_" not in tex
    assert r"$\pm$ sd over seeds" in tex and "±" not in tex


def test_the_csv_has_the_columns_of_the_house_and_reads_back() -> None:
    (header, *lines) = csv.reader(io.StringIO(b().csv()))
    assert header == list(COLUMNS) and len(lines) == 4
    first = dict(zip(header, lines[0], strict=True))
    assert (first["contrast"], first["minus"], first["n_complete"], first["verdict"]) == (
        "no_scc",
        "full",
        "9",
        "worse",
    )
    assert float(first["effect"]) == pytest.approx(-0.0406) and float(first["p_holm"]) == pytest.approx(0.015625)
    assert first["reading"] == "scc helps" and first["stopped_at"] == ""
    assert "nan" not in b().csv().lower().replace("no_", "")


def test_rows_in_any_order_give_the_same_bytes() -> None:
    one, other = b(), b()
    assert one.page() == other.page() and one.csv() == other.csv() and one.latex() == other.latex()
    assert [r.name for r in one.rows] == [arm for arm in B for _ in range(9)]
    assert write_csv(one.question, one.rows) == write_csv(other.question, other.rows)


def test_failures_are_told_with_every_count() -> None:
    plan = planned("leave_one_out", NAMES[:1], range(5))
    values = {
        "full": dict(enumerate((0.612, 0.655, 0.587, 0.634, 0.601))),
        "no_scc": dict(enumerate((0.571, None, 0.560, 0.577, None))),
    }
    its = report(plan, values)
    assert "| no_scc | 3/5 (2 diverged) |" in text(its, "Effects of the arms")
    assert "| no_scc | 3/5 (2 diverged) | 2/5 [0.12, 0.77]   | 2 : 0, p .500" in text(its, "Failures")
    assert "computed on the 3 of 5 seeds where both trained" in text(its, "Effects of the arms")
    assert "provisional" not in its.conclusion()


def test_what_has_not_run_is_told_and_missing_metrics_are_named() -> None:
    plan = planned("leave_one_out", NAMES[:1], range(4))
    rows = [row(plan, arm, seed, 0.5 + 0.01 * seed) for arm in ("full", "no_scc") for seed in range(2)]
    rows.append(row(plan, "full", 2, 0.0, values={"objective": 1.0}))
    rows.append(row(plan, "full", 3, 0.0, values={"test/score": float("nan")}))
    rows.append(row(plan, "no_scc", 2, None, status="stopped", failure="", values={}))
    its = Ablation.of(question(plan), rows)
    assert its.effects is not None
    assert str(its.effects.accounts["full"]) == "2/4 (1 diverged, 1 unmeasured)"
    assert str(its.effects.accounts["no_scc"]) == "2/4 (2 pending)"
    assert "Provisional: 3 of 8 cells are missing." in its.conclusion()


def test_a_factorial_shows_effects_cells_and_single_steps() -> None:
    plan = planned("factorial", NAMES[:3], range(4))
    its = report(plan, cells(plan, C))
    table = text(its, "Effects of the components")
    assert "| scc        | 4/4   | +0.0439 [+0.0359, +0.0518] |" in table and "[+0.0280, +0.0597]" in table
    assert "worse (scc and mi weaken each other)" in table and "Least squares with seeds as blocks" in table
    assert "| scc        | 4/4" in table and "| base" in text(its, "All arms: test/score")
    single = text(its, "From the same cells, one component at a time")
    assert "| no_scc      | full    | 4/4   | -0.01" in single and "| only_mi     | base    | 4/4   | +0.044" in single
    assert "scc -0.058, cyclic -0.006, mi -0.040" in single
    assert "Aliases" not in [table.title for table in its.tables()]
    (header, *lines) = csv.reader(io.StringIO(its.csv()))
    assert header == [*COLUMNS, *OWN] and len(lines) == 6 + 6


def test_a_fraction_shows_its_aliases_before_its_effects() -> None:
    plan = planned("fractional", NAMES, range(3))
    its = report(plan, cells(plan, D))
    titles = [table.title for table in its.tables()]
    assert titles.index("Aliases") < titles.index("Effects of the components")
    aliases = text(its, "Aliases")
    assert (
        "| AB=CD   | scc:cyclic = mi:kl_f" in aliases
        and "Resolution IV, I=ABCD" in aliases
        and "A scc, B cyclic" in aliases
    )
    assert "weaken each other, or its aliases" in text(its, "Effects of the components")


def test_one_seed_gives_no_verdict() -> None:
    plan = planned("factorial", NAMES[:3], range(1))
    its = report(plan, {arm: {0: by_seed[0]} for arm, by_seed in cells(plan, C).items()})
    assert its.conclusion().startswith("One seed was run, so no verdict is given. Lenth's margin of one effect is")
    assert "better" not in text(its, "Effects of the components").replace("higher is better", "")


def test_sequential_seeds_show_their_looks() -> None:
    from ablate.design.options import Sequential

    plan = planned("leave_one_out", NAMES[:2], Sequential(12, step=4))
    noise = [0.001 * ((7 * seed) % 5) for seed in range(12)]
    full = {seed: 0.6 + noise[seed] for seed in range(12)}
    clear = {seed: 0.5 + 0.5 * noise[seed] for seed in range(8)}
    contested = {seed: 0.6 + noise[(seed + 3) % 12] for seed in range(12)}
    its = report(plan, {"full": full, "no_scc": clear, "no_cyclic": contested})
    looks = text(its, "Looks")
    assert "| no_scc    |" in looks and "reject" in looks and "undecided" in looks
    table = text(its, "Effects of the arms")
    assert "| 8/8   |" in table and "stopped at" in table and "p Holm" not in table
    assert "looks at 8, 12 seeds" in table
    (header, *_) = csv.reader(io.StringIO(its.csv()))
    assert header == [*COLUMNS, *LOOKED]


def test_a_path_shows_its_steps_and_claims_nothing() -> None:
    plan = planned("path", NAMES[:2], range(2))
    value = {"base": 0.5, "scc": 0.6, "cyclic": 0.55, "full": 0.62}
    its = report(plan, {arm: {seed: y + 0.001 * seed for seed in range(2)} for arm, y in value.items()})
    steps = text(its, "Path from all off to all on")
    assert "|    1 | scc     |" in steps and "83.3 %" in steps and "no claim" in steps
    assert its.conclusion().startswith("From all off, the best flips were scc (+0.10") and its.csv().count("\n") == 1


def test_arms_that_change_nothing_are_a_fault() -> None:
    its = b(no_mi=dict(enumerate(B["full"])))
    assert its.faults and "'no_mi' has the same test/score as 'full' on every seed" in its.faults[0]
    assert its.faults[0] in text(its, "Effects of the arms")


def test_a_grid_is_compared_with_the_file_s_own_cell() -> None:
    rows = {
        "row": {"none": {"loss.scc.weight": 10}, "weak": {"loss.scc.weight": 1}, "strong": {"loss.scc.weight": 100}}
    }
    plan = planned("grid", [rows], range(5))
    y = {"row=none": 0.6, "row=weak": 0.5, "row=strong": 0.61}
    its = report(
        plan,
        {arm: {seed: v + 0.001 * ((3 * seed + i) % 5) for seed in range(5)} for i, (arm, v) in enumerate(y.items())},
    )
    table = text(its, "Effects of the arms")
    assert "| row=none" in table and "reference" in table
    assert "Row=weak is worse than row=none (-0.1" in its.conclusion()


def test_reused_cells_are_counted() -> None:
    plan = planned("leave_one_out", NAMES[:1], range(5))
    rows = [
        row(plan, arm, seed, 0.5 + 0.01 * seed * i, reused=i == 0)
        for i, arm in enumerate(("full", "no_scc"))
        for seed in range(5)
    ]
    its = Ablation.of(question(plan), rows)
    assert "5 of 10 cells were run by other studies" in text(its, "Effects of the arms")
    assert its.effects is not None and its.effects.rows[0].n_cached == 5


def test_the_plan_comes_back_from_what_the_record_keeps() -> None:
    plan = planned("fractional", FIVE, range(3), resolution=4)
    assert question(plan).plan is not None
    assert question(plan).plan.plain() == plan.plain()  # type: ignore[union-attr]
    assert question(plan).role == "design" and question(plan).planned == 48
    assert design("grid").kind == "grid"


def test_interquartile_means_have_intervals() -> None:
    """Those of worked example H, by arm, and their difference under the same resamples; no interval of two seeds."""
    y = {"full": (0.612, 0.655, 0.587, 0.634, 0.601), "no_scc": (0.571, 0.629, 0.560, 0.577, 0.585)}
    plan = planned("leave_one_out", ("scc",), range(5))
    lines = text(report(plan, {arm: dict(enumerate(its)) for arm, its in y.items()}), "Robust to single seeds")
    whole, arm = (
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in lines.splitlines()
        if "| full " in line or "| no_scc" in line
    )
    assert whole[0] == "full" and whole[2].startswith("0.616 [") and whole[3] == ""
    assert arm[2].startswith("0.578 [") and arm[3].startswith("-0.038 [-0.0")
    assert "IQM" not in report(plan, {arm: dict(enumerate(its[:2])) for arm, its in y.items()}).page()


def test_other_metrics_agree_on_the_order_or_do_not() -> None:
    """Means over seeds of three arms, .5 .6 .7: r2 grows with them, eer_f falls, mse says nothing."""
    plan = planned("leave_one_out", NAMES[:2], range(2))
    arms = [arm.name for arm in plan.arms]
    its = report(plan, {arm: {0: 0.5 + 0.1 * i, 1: 0.5 + 0.1 * i} for i, arm in enumerate(arms)})
    split = plan.design.metric.partition("/")[0]
    rows = [
        replace(
            row,
            values={
                plan.design.metric: row.values[plan.design.metric],
                f"{split}/r2": 0.1 * arms.index(row.name) + 0.01 * row.seed,
                f"{split}/eer_f": 0.4 - 0.1 * arms.index(row.name) * (row.seed + 1),
                f"{split}/mse": 3.0,
            },
        )
        for row in its.rows
    ]
    table = agreement_table(its.found, rows)
    assert table is not None and table.rows == (("eer_f", "3", "-1.00"), ("r2", "3", "+1.00"))
    heard = [replace(row, values=row.values | {f"{split}/si_sdr": 2.0 + row.seed}) for row in its.rows]
    shown = probes_table(its.found, heard)
    assert shown is not None and [column.head for column in shown.columns] == ["arm", "static from f", "si sdr"]
    assert shown.rows[0][2] == "2.50 ± 0.71"
    assert agreement_table(its.found, its.rows) is None  # the other metric is the same everywhere


def test_scores_keep_their_digits_under_a_transform() -> None:
    """Effects are on the logit scale, scores in units of the metric: each is rounded by its own spread."""
    plan = planned("leave_one_out", ("scc",), range(5), transform="logit")
    y = {"full": (0.9985, 0.9987, 0.9984, 0.9986, 0.9988), "no_scc": (0.9971, 0.9974, 0.9969, 0.9972, 0.9975)}
    lines = text(report(plan, {arm: dict(enumerate(its)) for arm, its in y.items()}), "Effects of the arms")
    assert "0.99860 ± 0.00016" in lines and "0.99722 ± 0.00024" in lines


def test_the_metric_of_the_claim_is_that_of_the_best_epoch_beside_it_too() -> None:
    """On the validation split the record's own value is of the last epoch, which may put the arms in another order."""
    plan = planned("leave_one_out", NAMES[:2], range(2), metric="valid/score")
    arms = [arm.name for arm in plan.arms]
    rows = [
        row(
            plan, arm, seed, 0.5, values={"objective": 0.5 + 0.1 * i, "valid/score": 0.9 - 0.1 * i, "valid/r2": 0.1 * i}
        )
        for i, arm in enumerate(arms)
        for seed in (0, 1)
    ]
    its = Ablation.of(question(plan), ordered(question(plan), rows))
    table = agreement_table(its.found, its.rows)
    assert table is not None and table.rows == (("r2", "3", "+1.00"),)
    assert "at the last epoch" in table.caption
