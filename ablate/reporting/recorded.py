"""A study's report from the record alone: works anywhere the record can be reached, finished or not."""

import json
from dataclasses import dataclass
from pathlib import Path

from ablate.reporting.cells import CellRow, recorded_rows
from ablate.reporting.closing import LEVELS, levels_from
from ablate.reporting.effects import Level
from ablate.reporting.question import Question
from ablate.reporting.status import find
from ablate.search.identity import unpack
from ablate.writer import deliver


@dataclass(frozen=True)
class Recorded:
    """What the record holds of a study."""

    question: Question
    rows: list[CellRow]
    levels: list[Level]


def recorded(folder: Path, study: str) -> Recorded:
    """Read a study, after what waits in its spool has been delivered; raises Mistake where there is none."""
    record, known = find(folder, study)
    if (folder / study / "spool").is_dir():
        deliver(record, folder / study / "spool", study)
        record, known = find(folder, study)
    question = Question.of(unpack(known.tags["ablate.design"]))
    levels = json.loads(known.tags.get(LEVELS, "{}"))
    return Recorded(question, recorded_rows(question, record.cells(), record.arms(study)), levels_from(levels))
