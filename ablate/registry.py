"""Names to the models, loss terms, datasets and metrics they stand for; the file is the registration."""

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from ablate.errors import Mistake


@dataclass(frozen=True)
class NoOptions:
    """The options of an entry that has none."""


@dataclass(frozen=True)
class Entry:
    """One registered thing: what to call, the dataclass of its options, and what it declares about itself."""

    name: str
    make: Callable[..., Any]
    options: type
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def doc(self) -> str:
        """First line of the docstring."""
        return (self.make.__doc__ or "").strip().partition("\n")[0]

    @property
    def distribution(self) -> str:
        """Top-level package that holds the code; `ablate` unless a plugin brought it."""
        return self.make.__module__.partition(".")[0]


class Registry:
    """Entries of one kind. Looking a name up first imports every file of the package and every installed plugin."""

    def __init__(self, kind: str, package: str):
        self.kind, self.package = kind, package
        self._entries: dict[str, Entry] = {}
        self._complete = False

    def __call__(self, name: str, *, options: type = NoOptions, **meta: Any) -> Callable[[Any], Any]:
        """Decorator: `@MODELS("dsae", options=DSAEOptions, latents={"f": "static", "z": "dynamic"})`."""

        def register(make: Any) -> Any:
            known = self._entries.get(name)
            if known is not None and known.make.__module__ != make.__module__:
                raise ValueError(f"two {self.kind}s are named {name!r}: {known.make.__module__} and {make.__module__}")
            self._entries[name] = Entry(name, make, options, meta)
            return make

        return register

    def __getitem__(self, name: str) -> Entry:
        """The entry; raises Mistake with the nearest known name."""
        self._fill()
        if name not in self._entries:
            raise Mistake(self.unknown(name))
        return self._entries[name]

    def __contains__(self, name: str) -> bool:
        self._fill()
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        self._fill()
        return iter(self._entries[name] for name in sorted(self._entries))

    def names(self) -> list[str]:
        """All names, sorted."""
        self._fill()
        return sorted(self._entries)

    def unknown(self, name: str) -> str:
        """The sentence about a name that is not there."""
        return unknown(self.kind, name, self.names())

    def _fill(self) -> None:
        if self._complete:
            return
        self._complete = True  # already, since a file may look names up while it is imported
        try:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self.package}.{module.name}")
            for point in entry_points(group="ablate.plugins"):
                point.load()
        except BaseException:
            self._complete = False
            raise


def unknown(kind: str, name: str, known: list[str]) -> str:
    """`unknown loss term 'sccc'; did you mean 'scc'? (known: ...)`."""
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}{hint} (known: {', '.join(known)})"


MODELS = Registry("model", "ablate.models")
LOSSES = Registry("loss term", "ablate.losses")
DATASETS = Registry("dataset", "ablate.data")
METRICS = Registry("metric", "ablate.metrics")


def build(entry: Entry, frame: tuple[int, ...], options: Any, window: int, sequences: int = 1) -> Any:
    """The model of an entry for such frames.

    One that is built for whole segments (`segments=True`) hears their length; one that holds something of every
    training sequence (`sequences=True`) their number. Raises Mistake where the model cannot take the frames.
    """
    told = {"segments": window, "sequences": sequences}
    return entry.make(frame, options, *(its for name, its in told.items() if entry.meta.get(name)))


def latent(model: Any, role: str) -> str:
    """Name of the latent of `model` (instance or class) that has the role: `static` -> `f` for DSAE, `z2` for FHVAE."""
    return next(name for name, its in model.latents.items() if its == role)
