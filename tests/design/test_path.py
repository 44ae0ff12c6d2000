"""The path from all off to all on: the surfaces of 9.10, ties, failures, races, and its order under noise."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from ablate.design.path import On, Walk, walk

from .studies import NAMES

EFFECTS = {"scc": 0.05, "cyclic": -0.02, "mi": 0.03, "kl_f": 0.0}
Values = dict[On, dict[int, float | None]]


def additive(on: On, seed: int = 0) -> float:
    return 0.5 + sum(EFFECTS[name] for name in on)


def trap(on: On, seed: int = 0) -> float:
    """Two components that help only together."""
    both = {"scc", "mi"} <= on
    own = 0.005 * ("cyclic" in on) - 0.002 * ("kl_f" in on) + (0.04 if both else -0.01 * len(on & {"scc", "mi"}))
    return 0.5 + own


def travelled(
    metric: Callable[[On, int], float | None],
    seeds: Iterable[int] = (0,),
    mode: str = "max",
    race: bool = False,
    names: tuple[str, ...] = NAMES,
) -> tuple[Walk, Values]:
    """A path to its end: whatever it wants is run, one batch after the other."""
    values: Values = {}
    seeds = tuple(seeds)
    for _ in range(200):
        its = walk(names, seeds, values, mode, race)  # type: ignore[arg-type]
        for on, seed in its.wanted:
            assert seed not in values.get(on, {}), "nothing is asked for twice"
            values.setdefault(on, {})[seed] = metric(on, seed)
        if not its.wanted:
            return its, values
    raise AssertionError("no end")


def test_additive_surface():
    its, values = travelled(additive)
    assert [(one.name, one.value, one.gain) for one in its.steps] == [
        ("scc", pytest.approx(0.55), pytest.approx(0.05)),
        ("mi", pytest.approx(0.58), pytest.approx(0.03)),
        ("kl_f", pytest.approx(0.58), pytest.approx(0, abs=1e-12)),
        ("cyclic", pytest.approx(0.56), pytest.approx(-0.02)),
    ]
    assert [one.share for one in its.steps] == pytest.approx([5 / 6, 8 / 6, 8 / 6, 1])
    assert its.done and len(values) == len(its.evaluated) == 11
    assert its.steps[-1].on == frozenset(NAMES)


def test_a_pair_that_helps_only_together_is_found_last():
    its, values = travelled(trap)
    assert [(one.name, round(one.gain, 9)) for one in its.steps] == [
        *(("cyclic", 0.005), ("kl_f", -0.002), ("scc", -0.01), ("mi", 0.05))
    ]
    assert len(values) == 11


def test_smaller_is_better():
    its, _ = travelled(lambda on, seed: -additive(on), mode="min")
    assert [one.name for one in its.steps] == ["scc", "mi", "kl_f", "cyclic"]


def test_ties_go_to_the_component_listed_first():
    its, _ = travelled(lambda on, seed: 0.1 * len(on) + 0.2)
    assert [one.name for one in its.steps] == list(NAMES)


def test_steps_have_paired_intervals():
    shift = {0: 0.0, 1: 0.1, 2: -0.1}
    wobble = {0: 0.001, 1: -0.001, 2: 0.0}
    its, _ = travelled(lambda on, seed: additive(on) + shift[seed] + wobble[seed] * len(on), range(3))
    first = its.steps[0].effect
    assert (first.n, first.mean) == (3, pytest.approx(0.05))
    assert first.sd == pytest.approx(0.001)
    assert first.lo is not None and 0.045 < first.lo < 0.05


@pytest.mark.parametrize("noise", [0.0, 0.006])
def test_the_order_of_the_additive_surface_every_time(noise: float):
    """200 repeats on 5 seeds (statistics.md 10): a block per seed, noise per run."""
    rng = np.random.default_rng(7)
    for _ in range(200 if noise else 1):
        block = rng.normal(scale=0.02, size=5)
        drawn = {(on, s): rng.normal(scale=noise) for on in subsets() for s in range(5)}
        its, _ = travelled(lambda on, s, block=block, drawn=drawn: additive(on) + block[s] + drawn[on, s], range(5))
        order = [one.name for one in its.steps]
        assert order[:2] == ["scc", "mi"] and order[2:] == ["kl_f", "cyclic"]


def subsets() -> list[On]:
    found = [frozenset[str]()]
    for name in NAMES:
        found += [its | {name} for its in found]
    return found


def test_a_race_drops_what_is_clearly_behind():
    block = np.random.default_rng(0).normal(scale=0.02, size=9)
    noise = {(on, s): e for (on, s), e in zip(((o, s) for o in subsets() for s in range(9)), ripple(), strict=False)}

    def metric(on: On, seed: int) -> float:
        return additive(on) + block[seed] + noise[on, seed]

    full, all_values = travelled(metric, range(9))
    raced, values = travelled(metric, range(9), race=True)
    assert [one.name for one in raced.steps] == [one.name for one in full.steps]
    runs, all_runs = (sum(map(len, its.values())) for its in (values, all_values))
    assert runs < 0.7 * all_runs
    assert min(len(its) for its in values.values()) >= 3


def ripple() -> list[float]:
    return list(np.random.default_rng(1).normal(scale=0.002, size=16 * 9))


def test_a_flip_that_fails_ranks_last():
    def metric(on: On, seed: int) -> float | None:
        return None if on == {"scc"} and seed == 1 else additive(on)

    its, _ = travelled(metric, range(3))
    assert its.steps[0].name == "mi"
    assert its.steps[-1].on == frozenset(NAMES)


def test_a_path_that_cannot_go_on():
    its, _ = travelled(lambda on, seed: None if len(on) == 1 else 0.5, range(2), names=NAMES[:2])
    assert not its.done and not its.steps
    assert its.stuck == "no seed on which scc and the configuration before it both finished"


def test_an_unfinished_path_says_what_it_wants_next():
    its = walk(NAMES[:2], (0, 1), {frozenset(): {0: 0.5, 1: 0.6}, frozenset({"scc"}): {0: 0.6}}, "max")
    assert its.wanted == ((frozenset({"cyclic"}), 0), (frozenset({"scc"}), 1), (frozenset({"cyclic"}), 1))
    assert not its.steps and not its.done


def test_flips_are_compared_on_the_seeds_that_both_have():
    """b is better than a on every seed; a failed on the bad one, b on a good one."""
    bad = {0: -0.5}
    y = {frozenset(): {s: bad.get(s, 0.0) for s in range(5)}}
    y[frozenset("a")] = {s: None if s == 0 else 0.1 for s in range(5)}
    y[frozenset("b")] = {s: None if s == 1 else 0.105 + bad.get(s, 0.0) for s in range(5)}
    y[frozenset("ab")] = {s: 0.2 + bad.get(s, 0.0) for s in range(5)}
    its = walk(("a", "b"), range(5), y, "max")
    assert [step.name for step in its.steps] == ["b", "a"]
    assert its.steps[0].gain == pytest.approx(0.105)


def test_no_shares_of_gains_on_different_seeds():
    y = {on: {s: 0.1 * len(on) + 0.01 * s for s in range(5)} for on in map(frozenset, ("", "a", "b", "ab"))}
    assert [step.share for step in walk(("a", "b"), range(5), y, "max").steps] == pytest.approx([0.5, 1])
    y[frozenset("ab")][2] = None
    assert {step.share for step in walk(("a", "b"), range(5), y, "max").steps} == {None}
