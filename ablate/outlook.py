"""What an ablation would run, could show and costs, before it begins (statistics.md 12)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ablate.data.dataset import Data
from ablate.design.forecast import RETRIES, Pilot
from ablate.design.measured import runs_of, study_rho
from ablate.design.paired import seed_sd
from ablate.errors import Mistake
from ablate.search.afford import planned_cells
from ablate.search.known import Known
from ablate.search.plan import Cell, Outcome, primary
from ablate.study import Study
from ablate.training.alike import TRIED, data_of, pulls

COPIES = 4  # of the parameters that a cell keeps: best weights, last ones, two moments of Adam


@dataclass(frozen=True)
class Bill:
    """What the runs still to do cost."""

    runs: int
    seconds: float  # of one run, on average
    total: float  # seconds of all, one after the other
    wall: float  # seconds with as many at once as fit
    hours: float  # of CPU or GPU, retries included
    measured: bool  # by a probe, else by what the record knows of earlier runs

    @classmethod
    def of(
        cls, left: Mapping[str, int], seconds: Mapping[str, float], devices: float, at_once: int, measured: bool
    ) -> "Bill":
        """Of so many cells per arm."""
        runs = sum(left.values())
        total = sum(count * seconds[arm] for arm, count in left.items())
        rounds = -(-runs // at_once) / runs if runs else 0.0
        return cls(
            runs, total / runs if runs else 0.0, total, total * rounds, total * devices / 3600 * (1 + RETRIES), measured
        )


@dataclass
class Outlook:
    """What is known of an ablation that has not begun, or not ended."""

    left: dict[str, int] = field(default_factory=dict)  # arm -> cells to run; at most, of sequential seeds and paths
    cells: list[Cell] = field(default_factory=list)  # all that are planned
    settled: int = 0  # cells that the record has
    reused: int = 0  # of those, run by other studies
    pilot: Pilot | None = None
    devices: tuple[str, ...] = ()  # that the cells in the record ran on
    searched: tuple[int, ...] = ()  # seeds on which a search of another study has tried one of the arms
    pulls: dict[str, dict[str, float]] = field(default_factory=dict)  # arm -> term -> gradient against that of recon
    bill: Bill | None = None


def look_at(study: Study, known: Known) -> Outlook:
    """What the record has of the plan, and what it says of the spread over seeds."""
    assert study.plan is not None
    its = Outlook(left=dict.fromkeys((arm.name for arm in study.plan.arms), 0), cells=planned_cells(study, known))
    found: dict[str, dict[int, float | None]] = {}
    devices, searched = set(), set()
    for cell in its.cells:
        other = known.others.get(cell.key)
        if other is not None and other.tags.get("ablate.role") in ("search", "grid"):
            searched.add(cell.seed)
        out = known.settled(cell)
        if out is None:
            its.left[cell.name] += 1
            continue
        its.settled += 1
        its.reused += cell.key not in known.mine
        record = known.mine.get(cell.key) or known.others.get(cell.key)
        devices.add(record.tags.get("ablate.device", "") if record else "")
        if cell.role == "design":
            found.setdefault(cell.name, {})[cell.seed] = value_of(study, out)
    if study.plan.design.kind == "path":  # of the configurations between, at most so many are tried
        k, arms = len(study.plan.components), study.plan.arms
        its.left[arms[-1].name] += (1 + k * (k + 1) // 2 - len(arms)) * len(study.plan.seeds)
    its.devices = tuple(sorted(devices - {""}))
    its.searched = tuple(sorted(searched))
    its.pilot = pilot_of(study, found)
    return its


def value_of(study: Study, out: Outcome) -> float | None:
    """The metric of a cell that ended; None where it ended without."""
    assert study.design is not None
    return primary(study.design.metric, out.values) if out.status == "complete" else None


def pilot_of(study: Study, values: Mapping[str, Mapping[int, float | None]]) -> Pilot | None:
    """Spread over seeds and correlation of the cells that are there; None where they do not say both."""
    assert study.plan is not None
    try:
        runs = runs_of(study.plan, values, {})
    except Mistake:
        return None
    sigma, rho = seed_sd([runs.finished(arm.name) for arm in study.plan.arms]), study_rho(study.plan, runs)
    return Pilot(sigma, min(rho, 0.999)) if sigma and rho is not None else None


def pulled(study: Study, data: Data) -> dict[str, dict[str, float]]:
    """Arm -> how strongly each of its terms pulls against recon after three steps."""
    assert study.plan is not None
    trials = {arm.name: study.arm(arm.name) for arm in study.plan.arms[:TRIED]}
    return {name: pulls(trial, data_of(trial, study.base, data)) for name, trial in trials.items()}
