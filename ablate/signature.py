"""The identity of a configuration, of data and of a cell: canonical texts and their SHA-256."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

from ablate.registry import DATASETS, LOSSES, METRICS, MODELS, Entry
from ablate.trial import Once, Part, Trial

FORMAT = 1  # of the configuration text; raise it when any default changes, else old and new experiments merge silently
CODE = 4  # raise it when any number that the engine logs changes
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

    @cached_property
    def kept(self) -> bool:
        """Whether it contributes to the signature."""
        if not self.identity or self.always or self.default is MISSING:
            return self.identity
        return self.text != canonical(self.default)

    @cached_property
    def text(self) -> str:
        """Its value as it is hashed."""
        return canonical(self.value)


@dataclass(frozen=True)
class Leaves:
    """The leaves of one part of a configuration."""

    every: tuple[Leaf, ...]

    @cached_property
    def kept(self) -> tuple[Leaf, ...]:
        """Those of the identity."""
        return tuple(leaf for leaf in self.every if leaf.kept)


def leaves(trial: Trial) -> list[Leaf]:
    """Every leaf of the configuration, in the order of its plain form."""
    return [leaf for part in parts(trial) for leaf in part.every]


def parts(trial: Trial) -> list[Leaves]:
    """The same part by part; trials that share a part share its leaves."""
    found = [_of(trial.data, "data"), _of(trial.model, "model"), _single("loss.beta", trial.loss.beta, 1, True)]
    found += [_of(term, f"loss.{name}") for name, term in trial.loss.terms.items()]
    found += [_of(trial.train, "train"), _single("metrics.every", trial.metrics.every, 1, False)]
    found += [_of(options, f"metrics.{name}", identity=False) for name, options in trial.metrics.chosen.items()]
    return [*found, _of(trial.resources, "resources")]


@lru_cache(typed=True)
def _single(path: str, value: Any, default: Any, identity: bool) -> Leaves:
    """The leaf of a part that is one value."""
    return Leaves((Leaf(path, value, default, identity),))


_KNOWN: Once[Leaves] = Once()  # leaves of the records that trials share


def _of(record: Any, prefix: str, identity: bool = True) -> Leaves:
    """The leaves of a record, worked out once."""
    return _KNOWN(record, prefix, lambda: Leaves(tuple(_leaves(record, prefix, identity))))


def _leaves(record: Any, prefix: str, identity: bool = True) -> Iterator[Leaf]:
    if isinstance(record, Part):
        yield Leaf(f"{prefix}.name", record.name, MISSING, identity=True)
        record = record.options
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
    return {leaf.path: leaf.value for leaf in kept_leaves(trial, workers_matter)}


def kept_leaves(trial: Trial, workers_matter: bool | None = None) -> list[Leaf]:
    """The same as leaves, in the order of the configuration."""
    kept = [leaf for part in parts(trial) for leaf in part.kept]
    if workers_matter is None:
        declared = MODELS[trial.model.name].meta.get("workers_matter", False)
        workers_matter = declared(trial.model.options) if callable(declared) else declared
    if workers_matter and trial.resources.workers > 1:
        kept.append(Leaf("resources.workers", trial.resources.workers, MISSING, identity=True))
    return kept


def text(kept: Mapping[str, Any]) -> str:
    """What is hashed: the format line, then `path=value` per leaf, sorted by path."""
    return _text({path: canonical(value) for path, value in kept.items()})


def _text(written: Mapping[str, str]) -> str:
    """The same of values in their canonical form."""
    return f"ablate-config {FORMAT}\n" + "".join(f"{path}={written[path]}\n" for path in sorted(written))


def signature(trial: Trial) -> str:
    """64 hex digits that two trials share if and only if they are the same configuration, whatever their seeds."""
    return sha256(_text({leaf.path: leaf.text for leaf in kept_leaves(trial)}))


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
