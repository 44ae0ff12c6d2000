"""Draws arrays as PNG: reconstructions and swaps, of spectrograms or of clips; knows no model and no dataset.

Features are (T, D), drawn as a spectrogram; clips are (T, C, H, W) in [0, 1] with one or three channels, drawn as a
strip of frames. The same arrays give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
EM = 0.066  # inches that one character of a name takes
INK = "#333333"
COLOURS = "magma"


def reconstructions(
    originals: np.ndarray,
    copies: np.ndarray,
    names: Sequence[str] = (),
    *,
    title: str = "Originals and reconstructions",
    frame_ms: float | None = None,
) -> bytes:
    """Each original with its reconstruction, as a PNG.

    Both (N, T, D) or (N, T, C, H, W). Spectrograms stand side by side, one row per sequence, on the colours of the
    original; clips one below the other. `names` (N) label the sequences; `frame_ms` turns the frame axis into seconds.
    """
    names = [_short(name, 30) for name in names] or [str(i + 1) for i in range(len(originals))]
    with _style():
        if _is_clip(originals):
            figure, axes = _grid(
                2 * len(originals), 1, _strip_size(originals), title, [*names, "reconstruction"], False
            )
            for i, name in enumerate(names):
                _draw_strip(axes[2 * i, 0], originals[i], name)
                _draw_strip(axes[2 * i + 1, 0], copies[i], "reconstruction")
        else:
            figure, axes = _grid(len(originals), 2, (3.6, 1.5), title, names, True)
            for i, name in enumerate(names):
                limits = _limits(originals[i])
                _draw_spectrogram(axes[i, 0], originals[i], limits, frame_ms)
                _draw_spectrogram(axes[i, 1], copies[i], limits, frame_ms)
                _name_row(axes[i, 0], name)
            for axis, name in zip(axes[0], ("original", "reconstruction"), strict=True):
                axis.set_title(name)
            _outer_labels(axes, frame_ms)
        return _png(figure)


def swap_grid(
    originals: np.ndarray,
    swaps: np.ndarray,
    names: Sequence[str] = (),
    *,
    title: str = "Swaps: f of the row, z of the column",
    frame_ms: float | None = None,
) -> bytes:
    """What the decoder makes of f of one sequence and z of another, as a PNG.

    `originals` (N, T, ...), `swaps` (N, N, T, ...): swaps[i, j] has f of i and z of j, so the diagonal is the plain
    reconstruction. The first row and the first column show the originals, of clips four frames. `names` (N) label them.
    """
    count = len(originals)
    clip = _is_clip(originals)
    names = [_short(name, 30 if clip else 24) for name in names] or [str(i + 1) for i in range(count)]
    if clip:
        few = _few(originals.shape[1])
        originals, swaps = originals[:, few], swaps[:, :, few]
    size = _strip_size(originals, longest=2.4) if clip else (1.9, 1.3)
    limits = _limits(originals)
    with _style():
        figure, axes = _grid(count + 1, count + 1, size, title, [f"f of {name}" for name in names], not clip)
        axes[0, 0].axis("off")
        for i in range(count + 1):
            for j in range(count + 1):
                if i == j == 0:
                    continue
                x = originals[max(i, j) - 1] if 0 in (i, j) else swaps[i - 1, j - 1]
                if clip:
                    _draw_strip(axes[i, j], x, "")
                else:
                    _draw_spectrogram(axes[i, j], x, limits, frame_ms)
                _frame(axes[i, j], "#888888" if 0 in (i, j) else ("#2a7ab0" if i == j else INK))
        for i, name in enumerate(names):
            axes[0, i + 1].set_title(f"z of {name}")
            _name_row(axes[i + 1, 0], f"f of {name}")
        if not clip:
            _outer_labels(axes, frame_ms)
        return _png(figure)


def gallery(
    x: np.ndarray, names: Sequence[str], *, title: str = "", frame_ms: float | None = None, marked: int = 0
) -> bytes:
    """Sequences (N, T, D) or (N, T, C, H, W) one below the other, as a PNG; spectrograms share their colours.

    `names` (N) label them; a line behind the first `marked` frames, where it is not 0, parts what was given from the
    rest.
    """
    names = [_short(name, 40) for name in names]
    with _style():
        clip = _is_clip(x)
        size = _strip_size(x) if clip else (4.8, 1.2)
        figure, axes = _grid(len(x), 1, size, title, names, not clip)
        limits = _limits(x)
        for axis, one, name in zip(axes[:, 0], x, names, strict=True):
            if clip:
                _draw_strip(axis, one, name)
            else:
                _draw_spectrogram(axis, one, limits, frame_ms)
                _name_row(axis, name)
            if marked:
                at = marked * (x.shape[4] + 1) - 1 if clip else marked * (1 if frame_ms is None else frame_ms / 1000)
                axis.axvline(at, color="#2a7ab0" if clip else "white", linewidth=1.5)
        if not clip:
            _outer_labels(axes, frame_ms)
        return _png(figure)


def animation(x: np.ndarray, *, frame_ms: float = 125, height: int = 128) -> bytes:
    """Clips (N, T, C, H, W) in [0, 1] side by side, as a GIF that repeats; pixels enlarged to about `height`."""
    from PIL import Image

    frames = np.clip(np.asarray(x, np.float64), 0, 1).transpose(1, 3, 0, 4, 2)  # (T, H, N, W, C)
    frames = frames.repeat(3, axis=-1) if frames.shape[-1] == 1 else frames
    frames = np.pad(frames, [(0, 0), (0, 0), (0, 0), (0, 1), (0, 0)], constant_values=1)  # a white line between clips
    frames = frames.reshape(*frames.shape[:2], -1, 3)[:, :, :-1]  # (T, H, N (W + 1) - 1, 3)
    times = max(1, round(height / frames.shape[1]))
    pixels = (frames * 255).round().astype(np.uint8).repeat(times, axis=1).repeat(times, axis=2)
    pictures, file = [Image.fromarray(frame) for frame in pixels], io.BytesIO()
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=frame_ms, loop=0)
    return file.getvalue()


def _is_clip(x: np.ndarray) -> bool:
    """Whether sequences (N, T, ...) are clips of pictures."""
    return x.ndim == 5


def _short(name: str, longest: int) -> str:
    """The name, or its end where it is too long to stand above a column."""
    return name if len(name) <= longest else "…" + name[1 - longest :]


def _style() -> Any:
    """The looks of all pictures, independent of the user's own settings."""
    import matplotlib.style

    small = {"font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7}
    return matplotlib.style.context(["default", {**small, "figure.titlesize": 10, "text.parse_math": False}])


def _grid(
    rows: int, columns: int, size: tuple[float, float], title: str, names: Sequence[str], spectrogram: bool
) -> tuple[Figure, Any]:
    """A figure of rows x columns axes of `size` inches each, with room for the title, the names and the scales."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    left = 0.25 + EM * max(len(name) for name in names) + (0.5 if spectrogram else 0)
    top, bottom, right = (0.35 if columns == 1 else 0.55), (0.45 if spectrogram else 0.1), 0.15
    gap = 0.12 if spectrogram else 0.06
    width = left + columns * size[0] + (columns - 1) * gap + right
    height = top + rows * size[1] + (rows - 1) * gap + bottom
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.suptitle(title, y=1 - 0.08 / height, va="top")
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        top=1 - top / height,
        bottom=bottom / height,
        wspace=gap / size[0],
        hspace=gap / size[1],
    )
    return figure, figure.subplots(rows, columns, squeeze=False)


def _draw_spectrogram(axis: Axes, x: np.ndarray, limits: tuple[float, float], frame_ms: float | None) -> None:
    """Features (T, D), low bands at the bottom, time in frames or seconds."""
    length = len(x) * (1.0 if frame_ms is None else frame_ms / 1000)
    axis.imshow(
        np.asarray(x, dtype=np.float64).T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=COLOURS,
        vmin=limits[0],
        vmax=limits[1],
        extent=(0, length, 0, x.shape[1]),
    )


def _draw_strip(axis: Axes, x: np.ndarray, name: str) -> None:
    """A clip (T, C, H, W) in [0, 1] as one row of frames, one white pixel between them."""
    frames = np.clip(np.asarray(x, dtype=np.float64), 0, 1).transpose(0, 2, 3, 1)  # (T, H, W, C)
    if frames.shape[-1] == 1:
        frames = frames.repeat(3, axis=-1)
    gap = np.ones((frames.shape[1], 1, 3))
    strip = np.concatenate([part for frame in frames for part in (frame, gap)][:-1], axis=1)  # (H, T*W + T - 1, 3)
    axis.imshow(strip, aspect="auto", interpolation="auto", interpolation_stage="rgba")
    axis.set_xticks([])
    axis.set_yticks([])
    _frame(axis, None)
    _name_row(axis, name)


def _name_row(axis: Axes, name: str) -> None:
    """The name of a row, to the left of its first axes, upright."""
    axis.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=8)


def _frame(axis: Axes, colour: str | None) -> None:
    """A thin frame around the axes, or none."""
    for spine in axis.spines.values():
        spine.set_visible(colour is not None)
        if colour is not None:
            spine.set_color(colour)


def _outer_labels(axes: Any, frame_ms: float | None) -> None:
    """Tick labels on the outer axes only, and what the two axes show."""
    from matplotlib.ticker import MaxNLocator

    for axis in axes.flat:
        axis.xaxis.set_major_locator(MaxNLocator(4, prune="upper"))
        axis.yaxis.set_major_locator(MaxNLocator(4, prune="upper"))
        axis.label_outer(remove_inner_ticks=True)
    for axis in axes[-1]:
        axis.set_xlabel("frame" if frame_ms is None else "seconds")
    top = next(axis for axis in axes[:, 0] if axis.axison)
    top.annotate("band", (0, 1), (-5, 4), "axes fraction", textcoords="offset points", ha="right", fontsize=7)


def _few(frames: int, count: int = 4) -> np.ndarray:
    """Up to `count` frames, evenly spread."""
    return np.linspace(0, frames - 1, min(frames, count)).round().astype(int)


def _strip_size(x: np.ndarray, longest: float = 6.4) -> tuple[float, float]:
    """Width and height in inches of a strip of the frames of (N, T, C, H, W)."""
    frames, height, width = x.shape[1], x.shape[3], x.shape[4]
    return longest, longest * height / (frames * (width + 1) - 1)


def _limits(x: np.ndarray) -> tuple[float, float]:
    """Values at the two ends of the colour scale: all but the outermost half per cent on each side."""
    low, high = np.percentile(x, [0.5, 99.5])
    return float(low), float(high if high > low else low + 1)


def _png(figure: Figure) -> bytes:
    """The figure as PNG, without date or version in it."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
