"""From the rows of a study to its confirmation: which configurations were confirmed, and their values by seed."""

from collections.abc import Sequence
from dataclasses import replace

from ablate.design.confirm import Arm, Confirmation, confirm
from ablate.reporting.cells import Account, CellRow, account, finite
from ablate.reporting.question import DEFAULT, Question


def ranked(question: Question, rows: Sequence[CellRow]) -> list[CellRow]:
    """The complete cells of the search that have a score, best first."""
    scored = [
        (question.sign * value, row)
        for row in rows
        if row.role == question.role and row.done and (value := row.objective) is not None
    ]
    return [row for _, row in sorted(scored, key=lambda one: (-one[0], one[1].signature))]


def chosen(question: Question, rows: Sequence[CellRow]) -> list[Arm]:
    """The `top` best of the search, the default and the baselines, with their values on the seeds of the confirmation.

    A best configuration that is the default appears once, as the default. Confirmed cells of configurations that are no
    longer among the best (the search went on) are left out. `selected` is the search's own metric on the fresh seeds.
    """
    order = ranked(question, rows)
    scores = {row.signature: row.objective for row in reversed(order)}
    confirmed = [row for row in rows if row.role == "confirm" and row.seed in question.seeds]
    best = [row for row in order[: question.top] if row.name != DEFAULT]
    arms = [
        _arm(question, Arm(row.name, "best", {}), [its for its in confirmed if its.signature == row.signature])
        for row in best
    ]
    taken = {row.signature for row in best}
    for name in (DEFAULT, *question.baselines):
        its = [row for row in confirmed if row.name == name and row.signature not in taken]
        arms.append(_arm(question, Arm(name, "default" if name == DEFAULT else "baseline", {}), its))
    scored = [replace(its, search_score=scores.get(its.signature)) for its in arms]
    for i, row in enumerate(best):
        scored[i] = replace(scored[i], signature=row.signature, search_score=row.objective)
    return distinct(scored)


def confirmation(question: Question, rows: Sequence[CellRow], alpha: float = 0.05) -> Confirmation | None:
    """The confirmation of a study from its rows; None if it asks for none or none of its cells has begun."""
    if not question.top or not any(row.role == "confirm" for row in rows):
        return None
    searched = sum(row.role == question.role and row.objective is not None for row in rows)
    arms = chosen(question, rows)
    return confirm(arms, DEFAULT, question.mode, alpha, seeds=question.seeds, searched=searched)


def accounts(question: Question, rows: Sequence[CellRow]) -> list[Account]:
    """What became of the planned cells of the search, and of the confirmation where there is one."""
    found = [account(question.role, question.planned, rows)]
    if question.top:
        arms = chosen(question, rows)
        signatures = {its.signature for its in arms}
        mine = [row for row in rows if row.signature in signatures and row.seed in question.seeds]
        finished = not found[0].missing and not found[0].running
        best = sum(its.role == "best" for its in arms) if finished else question.top
        found.append(account("confirm", (best + 1 + len(question.baselines)) * len(question.seeds), mine))
    return found


def distinct(arms: list[Arm]) -> list[Arm]:
    """Arms whose names tell them apart: names that occur twice get the first digits of the signature."""
    names = [its.name for its in arms]
    return [
        replace(its, name=f"{its.name} ({its.signature[:8]})") if names.count(its.name) > 1 and its.signature else its
        for its in arms
    ]


def _arm(question: Question, empty: Arm, rows: list[CellRow]) -> Arm:
    """An arm with the values and failures of its rows."""
    measured = {row.seed: row.values.get(question.confirmed_metric) for row in rows if row.done}
    failures = {row.seed: row.failure or "code" for row in rows if row.status == "failed"}
    for seed, value in measured.items():
        if finite(value) is None:
            failures[seed] = "unmeasured" if value is None else "diverged"
    return replace(
        empty,
        values={seed: value for seed, value in measured.items() if finite(value) is not None},
        failures=failures,
        selected={row.seed: row.objective for row in rows if row.done},
        signature=rows[0].signature if rows else "",
    )
