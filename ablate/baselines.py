"""What a study takes from other files: its baselines, levels of a grid, and the weights it starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

from ablate.draft import Draft
from ablate.positions import Place
from ablate.registry import METRICS, MODELS
from ablate.rules import offers
from ablate.signature import leaves
from ablate.study import Search, Study
from ablate.trial import Metrics, Part, Plain, Trial

Examine = Callable[[Path], tuple[Study | None, list[str]]]


def found(written: str, beside: Path) -> Path | None:
    """The file or folder that a study file means: relative to the study's folder, else to the working directory."""
    candidates = (beside.parent / Path(written).expanduser(), Path(written).expanduser())
    return next((path for path in candidates if path.exists()), None)


def weights_digest(draft: Draft, written: str, beside: Path) -> tuple[str, str] | None:
    """(absolute path, SHA-256) of the checkpoint that `train.init_from` names; None after a complaint."""
    place = ("train", "init_from")
    path = found(written, beside)
    if path is None:
        draft.value(place, f"train.init_from: there is no file or folder {written}")
        return None
    checkpoint = path / "best.pt" if path.is_dir() else path
    try:
        with checkpoint.open("rb") as file:
            return str(path.resolve()), hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        draft.value(place, f"train.init_from: {checkpoint} cannot be read ({(error.strerror or str(error)).lower()})")
        return None


def with_baselines(
    draft: Draft, path: Path, search: Search | None, study: Study | None, examine: Examine
) -> Study | None:
    """The study with the configurations of `search.confirm.against`; their mistakes are added to the draft's."""
    if search is None or search.confirm is None:
        return study
    baselines: dict[str, Trial] = {}
    for i, written in enumerate(search.confirm.against):
        place = ("search", "confirm", "against", i)
        file = found(written, path)
        if file is None or file.is_dir():
            draft.value(place, f"search.confirm.against: there is no file {written}")
            continue
        other, sentences = examine(file)
        draft.elsewhere += [its for its in sentences if its not in draft.elsewhere]
        if other is None or study is None:
            continue
        if other.base.data.name != study.base.data.name:
            draft.value(
                place,
                f"search.confirm.against: {written} is on data {other.base.data.name!r}, not {study.base.data.name!r}",
            )
        elif other.name in baselines or other.name == study.name:
            draft.value(place, f"search.confirm.against: {written} has the name {other.name!r}, which is taken")
        else:
            baselines[other.name] = alike(other, study)
            study = replace(study, warnings=(*study.warnings, *unlike(other, study, written)))
    return None if study is None else replace(study, baselines=baselines, files=search.confirm.against)


def level_of(draft: Draft, beside: Path, examine: Examine, place: Place, written: str) -> tuple[str, Plain] | None:
    """The level of a grid that a study file stands for: its name, its model and its loss; None after complaints."""
    file = found(written, beside)
    if file is None or file.is_dir():
        draft.value(place, f"design.components: there is no file {written}")
        return None
    other, sentences = examine(file)
    draft.elsewhere += [its for its in sentences if its not in draft.elsewhere]
    if other is None:
        return None
    plain = other.base.plain()
    return other.name, {"model": plain["model"], "loss": plain["loss"]}


def alike(other: Study, study: Study) -> Trial:
    """The baseline, judged as the study is: best epoch, metrics, resources and place of the data are the study's."""
    base, train = other.base, other.base.train
    if not other.selects:
        train = replace(train, select=study.base.train.select, select_mode=study.base.train.select_mode)
    able = offers(MODELS[base.model.name])
    chosen = {
        name: its for name, its in study.base.metrics.chosen.items() if set(METRICS[name].meta.get("needs", ())) <= able
    }
    metrics = Metrics(study.base.metrics.every, chosen)
    return replace(base, data=moved(base, study.base), train=train, metrics=metrics, resources=study.resources)


def moved(base: Trial, to: Trial) -> Part:
    """The data of the baseline where those of the study lie."""
    places = [its.name for its in fields(base.data.options) if not its.metadata.get("identity", True)]
    options = replace(base.data.options, **{name: getattr(to.data.options, name) for name in places})
    return replace(base.data, options=options)


def unlike(other: Study, study: Study, written: str) -> list[str]:
    """A warning where a baseline prepares the same data in another way."""
    mine = {its.path: its.value for its in leaves(study.base) if its.path.startswith("data.") and its.identity}
    theirs = {its.path: its.value for its in leaves(other.base) if its.path.startswith("data.") and its.identity}
    different = [path for path in mine if theirs.get(path) != mine[path]]
    return [f"{written} differs from the study in {', '.join(different)}"] if different else []
