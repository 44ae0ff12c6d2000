"""Any folder of recordings, whose factors stand in the paths or in a CSV file."""

import csv
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from ablate.data.audio import AudioOptions, frame_peaks, rephased, resynthesise, spectra
from ablate.data.items import BadItem, FactorKind, Item, Scale, Sequence, natural
from ablate.data.recordings import read_audio, read_rate
from ablate.data.splits import SplitOptions, check_name
from ablate.data.windows import WindowOptions
from ablate.errors import Mistake
from ablate.registry import DATASETS, unknown

EXTENSIONS = (".wav", ".flac", ".sph", ".ogg")


@dataclass(frozen=True, kw_only=True)
class AudioFolderOptions(AudioOptions, SplitOptions, WindowOptions):
    """Where the recordings lie and what is known of them.

    `pattern` names fields of the path: `{digit}_{speaker}_{take}.wav`, `{speaker}/{chapter}/{utt}.flac`. It is compared
    with as many last components of the path as it has, without regard to case; `*` stands for anything, and a pattern
    without an extension fits all. `factors_csv` (relative to the root) has a column `file` and one per field; files may
    be given by the last components of their paths. A field named `split` is the split.
    """

    root: str = field(metadata={"identity": False})
    pattern: str = ""
    factors_csv: str = ""
    static: tuple[str, ...] = ("speaker",)  # fields that are factors of the whole sequence
    clip: tuple[str, ...] = ()  # fields that are content and constant over a clip: the digit of a digit
    group: str = "speaker"  # field whose values the splits keep apart; empty: none
    sample_rate: int | None = field(default=None, metadata={"ge": 1})  # Hz that all files must have; None: the first's
    resample: bool = False  # convert other rates to sample_rate instead of refusing them
    channel: int | None = field(default=None, metadata={"ge": 0})  # of files with several
    trim_db: float | None = field(default=None, metadata={"gt": 0})  # ends this far below the loudest part are cut off
    normalise: Literal["none", "file", "chunk"] = "none"  # file: every recording is divided by its largest absolute
    # sample; chunk: so is every window that is read, and a recording as a whole where it is one sequence

    def __post_init__(self) -> None:
        SplitOptions.__post_init__(self)
        if bool(self.pattern) == bool(self.factors_csv):
            raise ValueError("audio_folder takes its factors from one of pattern and factors_csv: give one of them")
        if self.resample and self.sample_rate is None:
            raise ValueError("resample needs sample_rate, the rate to convert to")
        if self.normalise == "chunk" and self.features != "power":
            raise ValueError(
                f"normalise: chunk is defined for features: power, here they are {self.features}; use normalise: file"
            )
        if both := set(self.static) & set(self.clip):
            raise ValueError(f"{', '.join(sorted(both))} is named in static and in clip")


@DATASETS("audio_folder", options=AudioFolderOptions)
class AudioFolder:
    """A folder of wav, flac, ogg or SPHERE files; factors from a path pattern or a CSV file."""

    def __init__(self, options: AudioFolderOptions):
        self.options = options
        self.frame = (options.dimension,)
        self.factors: dict[str, FactorKind] = {name: "static" for name in options.static}
        self.factors |= {name: "clip" for name in options.clip}
        self.classes: dict[str, list[str]] = {}
        self.unit = options.group or "speaker"
        self.scale: Scale = "none" if options.features == "power" else "standard"

    @cached_property
    def root(self) -> Path:
        """The folder; raises Mistake where there is none."""
        root = Path(self.options.root).expanduser().absolute()
        if not root.is_dir():
            raise Mistake(
                f"data.root: {root} is {'no folder' if root.exists() else 'missing'}; name the folder of the recordings"
                " there, or with --set data.root=FOLDER."
            )
        return root

    @cached_property
    def paths(self) -> list[str]:
        """Relative paths of all recordings, in natural order; raises Mistake where there is none."""
        found = [
            Path(folder, name).relative_to(self.root).as_posix()
            for folder, _, names in os.walk(self.root, followlinks=True)
            for name in names
            if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
        ]
        if not found:
            raise Mistake(f"data.root: {self.root} holds no audio file ({', '.join(EXTENSIONS)}).")
        return sorted(found, key=natural)

    @cached_property
    def rate(self) -> tuple[int, str]:
        """Rate in Hz that all files must have, and where it comes from: the options or the first readable file."""
        if self.options.sample_rate is not None:
            return self.options.sample_rate, "data.sample_rate"
        for path in self.paths:
            try:
                return read_rate(self.root / path), path
            except (BadItem, OSError):
                continue
        raise Mistake(f"data.root: none of the {len(self.paths)} audio files of {self.root} can be read.")

    def items(self) -> list[Item]:
        """All recordings with the fields of their paths or of the CSV file; raises Mistake."""
        listed = self._listed() if self.options.factors_csv else self._matched()
        known = sorted({name for fields in listed.values() if fields for name in fields})
        if not known:
            raise Mistake(
                f"data.pattern: none of {len(listed)} files fits {self.options.pattern!r}; the first is"
                f" {self.paths[0]!r}."
            )
        wanted = [*self.factors, *([self.options.group] if self.options.group else [])]
        missing = [unknown("field", name, known) for name in dict.fromkeys(wanted) if name not in known]
        if missing:
            raise Mistake(*(f"data: {sentence}" for sentence in missing))
        self.rate  # noqa: B018 - known before the items travel to other processes
        return [self._item(path, listed[path]) for path in sorted(listed, key=natural)]

    def _item(self, path: str, fields: dict[str, str] | None) -> Item:
        where = self.options.factors_csv or f"pattern {self.options.pattern!r}"
        problem = (
            "" if fields is not None else f"{'not listed in' if self.options.factors_csv else 'does not fit'} {where}"
        )
        fields = fields or {}
        split = check_name(fields["split"], path) if "split" in fields else None
        labels = {name: fields[name] for name in self.factors if name in fields}
        group = fields.get(self.options.group) or None
        return Item(path, group, split, self.root / path, path, labels, problem)

    def _matched(self) -> dict[str, dict[str, str] | None]:
        """Per file the fields of its path, or None where the pattern does not fit."""
        regex = compile_pattern(self.options.pattern)
        parts = self.options.pattern.count("/") + 1
        matches = {path: regex.fullmatch("/".join(path.split("/")[-parts:])) for path in self.paths}
        return {path: match.groupdict() if match else None for path, match in matches.items()}

    def _listed(self) -> dict[str, dict[str, str] | None]:
        """Per file its row of the CSV file, or None; rows without a file are kept, to be counted as missing."""
        table = self.root / self.options.factors_csv
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise Mistake(f"data.factors_csv: {table} cannot be read ({error}).") from error
        if not rows or "file" not in rows[0]:
            raise Mistake(f"data.factors_csv: {table} has no rows or no column `file`.")
        broken = [at for at, row in enumerate(rows, start=2) if None in row or None in row.values()]
        if broken:
            raise Mistake(f"data.factors_csv: {table}, line {broken[0]}: not as many values as columns.")
        listed = {Path(row["file"]).as_posix(): {k: v.strip() for k, v in row.items() if k != "file"} for row in rows}
        if outside := [name for name in listed if ".." in Path(name).parts or Path(name).is_absolute()]:
            raise Mistake(f"data.factors_csv: {table} names {outside[0]!r}, which is not below the root.")
        found = {path: _row_of(path, rows) for path, rows in _by_name(self.paths, listed)}
        named = set(found.values())
        fields: dict[str, dict[str, str] | None] = {path: listed[row] if row else None for path, row in found.items()}
        return fields | {row: its for row, its in listed.items() if row not in named}

    def load(self, item: Item) -> Sequence:
        """Features of one recording and its factors; raises BadItem or Dropped."""
        samples, rate = self.recording(item), self.rate[0]
        factors: dict[str, str | int | np.ndarray | None] = {
            name: item.labels.get(name) or None for name in self.factors
        }
        peaks = frame_peaks(samples, rate, self.options) if self.options.normalise == "chunk" else None
        return Sequence(spectra(samples, rate, self.options), factors, peaks=peaks)

    def recording(self, item: Item) -> np.ndarray:
        """Samples of one recording, (S,), at the rate of all; raises BadItem or Dropped."""
        assert item.path is not None
        samples, rate = read_audio(item.path, self.options.channel)
        wanted, source = self.rate
        if rate != wanted and not self.options.resample:
            raise BadItem(f"{rate} Hz, but {source} {'is' if source.startswith('data.') else 'has'} {wanted} Hz")
        samples = samples if rate == wanted else _resample(samples, rate, wanted)
        if self.options.trim_db is not None:
            samples = _trimmed(samples, self.options.trim_db)
        peak = np.abs(samples).max(initial=0) if self.options.normalise != "none" else 0
        return samples / peak if peak > 0 else samples

    def rephased(self, features: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """A recording and the sound of (L, D) features in raw units under its phase; None without a way back."""
        return rephased(features, samples, self.rate[0], self.options)

    def resynthesise(self, features: np.ndarray) -> tuple[np.ndarray, int]:
        """Sound of (L, D) features in raw units, and its rate in Hz."""
        return resynthesise(features, self.rate[0], self.options), self.rate[0]


def _resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    import librosa

    return librosa.resample(samples, orig_sr=rate, target_sr=wanted)


def _trimmed(samples: np.ndarray, decibels: float) -> np.ndarray:
    """Without the ends that are quieter than the loudest frame (2048 samples, every 512) by more than so many dB."""
    import librosa

    trimmed: np.ndarray = librosa.effects.trim(samples, top_db=decibels)[0]
    return trimmed


def _by_name(paths: list[str], rows: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Per path the rows of the same file name."""
    named: dict[str, list[str]] = {}
    for row in rows:
        named.setdefault(Path(row).name, []).append(row)
    return ((path, named.get(Path(path).name, [])) for path in paths)


def _row_of(path: str, rows: list[str]) -> str | None:
    """The row that names the path: exactly, or else the only one of which one is the end of the other."""
    if path in rows:
        return path
    ends = [row for row in rows if f"/{path}".endswith(f"/{row}") or f"/{row}".endswith(f"/{path}")]
    return ends[0] if len(ends) == 1 else None


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression of a path pattern; raises Mistake for one that cannot be read.

    A field takes the fewest characters that fit and no `/`; its second appearance must repeat the first.
    """
    seen: set[str] = set()
    text = ""
    for piece in re.split(r"(\{[^{}]*\}|\*)", pattern):
        if piece == "*":
            text += "[^/]*"
        elif not piece.startswith("{"):
            text += re.escape(piece)
        elif not piece[1:-1].isidentifier():
            raise Mistake(
                f"data.pattern: {piece} in {pattern!r} is no field; write {{speaker}}, or * for what does not matter."
            )
        elif piece in seen:
            text += f"(?P={piece[1:-1]})"
        else:
            seen.add(piece)
            text += f"(?P<{piece[1:-1]}>[^/]+?)"
    if not pattern.lower().endswith((*EXTENSIONS, ".*")):
        text += rf"(?:{'|'.join(re.escape(its) for its in EXTENSIONS)})"
    return re.compile(text, re.IGNORECASE)
