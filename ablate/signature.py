"""The identity of a configuration, of data and of a cell: canonical texts and their SHA-256."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from typing import Any

from ablate.registry import DATASETS, LOSSES, METRICS, MODELS, Entry
from ablate.trial import Trial

FORMAT = 1  # of the configuration text; raise it when any default changes, else old and new experiments merge silently
CODE = 1  # raise it when any number that the engine logs changes
SHORT = 8  # hex digits shown; lookups always compare all 64


def sha256(text: str) -> str:
    """64 hex digits of the UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(value: Any) -> str:
    """The one way to write a value: 10 and 10.0 are equal, true and 1 are not. Raises ValueError where not finite."""
    if value is None or isinstance(value, bool | str):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no place in a configuration")
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    raise TypeError(f"a {type(value).__name__} has no place in a configuration")


@dataclass(frozen=True)
class Leaf:
    """One value of a configuration."""

    path: str
    value: Any
    default: Any  # MISSING where the field has none
    identity: bool  # whether it is part of the configuration's identity
    always: bool = False  # kept even at its default: the weight of a term, since absent and present differ

    @property
    def kept(self) -> bool:
        """Whether it contributes to the signature."""
        if not self.identity or self.always or self.default is MISSING:
            return self.identity
        return canonical(self.value) != canonical(self.default)


def leaves(trial: Trial) -> Iterator[Leaf]:
    """Every leaf of the configuration, in the order of its plain form."""
    for section, part in (("data", trial.data), ("model", trial.model)):
        yield Leaf(f"{section}.name", part.name, MISSING, identity=True)
        yield from _leaves(part.options, section)
    yield Leaf("loss.beta", trial.loss.beta, 1, identity=True)
    for name, term in trial.loss.terms.items():
        yield from _leaves(term, f"loss.{name}")
    yield from _leaves(trial.train, "train")
    yield Leaf("metrics.every", trial.metrics.every, 1, identity=False)
    for name, options in trial.metrics.chosen.items():
        yield from _leaves(options, f"metrics.{name}", identity=False)
    yield from _leaves(trial.resources, "resources")


def _leaves(record: Any, prefix: str, identity: bool = True) -> Iterator[Leaf]:
    for its in fields(record):
        value, path = getattr(record, its.name), f"{prefix}.{its.name}"
        mine = identity and its.metadata.get("identity", True)
        if is_dataclass(value):
            yield from _leaves(value, path, mine)
        else:
            yield Leaf(path, value, default(its), mine, always=is_weight(path))


def is_weight(path: str) -> bool:
    """Whether the leaf is the weight of a loss term."""
    section, *rest = path.split(".")
    return section == "loss" and len(rest) == 2 and rest[1] == "weight"


def default(its: Field) -> Any:
    """Default of a dataclass field, MISSING if it must be given."""
    return its.default_factory() if its.default_factory is not MISSING else its.default


def delta(trial: Trial, workers_matter: bool | None = None) -> dict[str, Any]:
    """The leaves that make up the identity: those that differ from their defaults, and every term's weight.

    Results do not depend on the number of workers, except for models with BatchNorm or dropout: these say so in their
    registration (`workers_matter=`: true, or a function of the options), and then `resources.workers` counts.
    """
    kept = {leaf.path: leaf.value for leaf in leaves(trial) if leaf.kept}
    if workers_matter is None:
        declared = MODELS[trial.model.name].meta.get("workers_matter", False)
        workers_matter = declared(trial.model.options) if callable(declared) else declared
    if workers_matter and trial.resources.workers > 1:
        kept["resources.workers"] = trial.resources.workers
    return kept


def text(kept: Mapping[str, Any]) -> str:
    """What is hashed: the format line, then `path=value` per leaf, sorted by path."""
    return f"ablate-config {FORMAT}\n" + "".join(f"{path}={canonical(kept[path])}\n" for path in sorted(kept))


def signature(trial: Trial) -> str:
    """64 hex digits that two trials share if and only if they are the same configuration, whatever their seeds."""
    return sha256(text(delta(trial)))


def data_text(
    files: Iterable[tuple[str, str]], splits: Mapping[str, Iterable[str]] | None = None, *generated: str
) -> str:
    """What the data digest hashes: `path<TAB>sha256` of every file by path, generators, then the split lists."""
    lines = [f"{path}\t{sha}" for path, sha in sorted(files)] + list(generated)
    for split in ("train", "valid", "test"):
        if splits is not None:
            lines += [f"split={split}", *splits[split]]
    return "ablate-data 1\n" + "".join(f"{line}\n" for line in lines)


def cell_text(config: str, data: str, seed: int, plugins: Iterable[tuple[str, str]] = (), code: int = CODE) -> str:
    """What the cell key hashes; `config` and `data` are full digests, `plugins` (distribution, version)."""
    lines = [f"config={config}", f"data={data}", f"code={code}"]
    lines += [f"plugin={name}@{version}" for name, version in sorted(plugins)]
    return "ablate-cell 1\n" + "".join(f"{line}\n" for line in [*lines, f"seed={seed}"])


def cell_key(trial: Trial, data_digest: str, config: str | None = None) -> str:
    """64 hex digits of one configuration on one seed (`train.seed`), data and code: what is never run twice.

    `config` is the signature where it is known already.
    """
    return sha256(cell_text(config or signature(trial), data_digest, trial.train.seed, plugins(trial)))


def plugins(trial: Trial) -> list[tuple[str, str]]:
    """Third-party distributions whose model, terms, dataset or metrics the trial uses, with their versions; sorted."""
    entries: list[Entry] = [DATASETS[trial.data.name], MODELS[trial.model.name]]
    entries += [LOSSES[name] for name in trial.loss.terms] + [METRICS[name] for name in trial.metrics.chosen]
    packages = {entry.distribution for entry in entries} - {"ablate"}
    owners = distributions() if packages else {}
    names = {name for package in packages for name in owners.get(package, ())}
    return sorted((name, importlib.metadata.version(name)) for name in names)


@cache
def distributions() -> Mapping[str, list[str]]:
    """Top-level package -> the distributions it belongs to; looked up once, since that reads every one installed."""
    return importlib.metadata.packages_distributions()


def shortest(signatures: Iterable[str]) -> int:
    """Digits to show so that no two of these signatures look the same, at least 8."""
    distinct = set(signatures)
    return next(n for n in range(SHORT, 65) if len({its[:n] for its in distinct}) == len(distinct))
