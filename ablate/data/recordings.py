"""Audio files as samples: wav, flac, ogg and SPHERE, with the damage that libraries pass over in silence."""

import os
import struct
from pathlib import Path

import numpy as np

from ablate.data import sphere
from ablate.data.items import BadItem, Dropped


def read_audio(path: Path, channel: int | None = None) -> tuple[np.ndarray, int]:
    """Samples (S,) float32 in [-1, 1] and the rate in Hz.

    `channel` chooses one (from 0); without it a file of several channels is refused. Raises BadItem for a file that is
    empty, truncated, unreadable or not finite, and Dropped for silence. SPHERE is known by its first bytes.
    """
    with path.open("rb") as file:
        head = file.read(12)
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise BadItem("zero length: the file has no bytes")
        if head[:4] in (b"RIFF", b"RF64"):
            _check_riff(file.read(1 << 16), size)
    if head.startswith(sphere.MAGIC):
        whole, rate = sphere.read_sphere(path)
        samples = whole.astype(np.float32) / -float(np.iinfo(whole.dtype).min)
    else:
        samples, rate = _decode(path)
    if not len(samples):
        raise BadItem("zero length: the file has no samples")
    mono = _choose(samples, channel)
    if not np.isfinite(mono).all():
        raise BadItem(f"{np.count_nonzero(~np.isfinite(mono))} of {len(mono)} samples are not finite")
    if not mono.any():
        raise Dropped("silence")
    return mono, rate


def read_rate(path: Path) -> int:
    """Rate in Hz from the header alone; raises BadItem."""
    with path.open("rb") as file:
        head = file.read(8)
        if head.startswith(sphere.MAGIC):
            return sphere.read_header(head + file.read(1 << 20)).number("sample_rate")
    import soundfile

    try:
        return int(soundfile.info(str(path)).samplerate)
    except soundfile.LibsndfileError as error:
        raise BadItem(f"unreadable: {error.error_string}") from error


def _decode(path: Path) -> tuple[np.ndarray, int]:
    """Samples (S, channels) float32 by libsndfile, which must give as many as the header states."""
    import soundfile

    try:
        with soundfile.SoundFile(str(path)) as file:
            samples = file.read(dtype="float32", always_2d=True)
            stated, rate = file.frames, int(file.samplerate)
    except soundfile.LibsndfileError as error:
        raise BadItem(f"unreadable or truncated: {error.error_string}") from error
    if len(samples) != stated:
        raise BadItem(f"truncated: {len(samples)} samples instead of {stated}")
    return samples, rate


def _choose(samples: np.ndarray, channel: int | None) -> np.ndarray:
    channels = samples.shape[1]
    if channel is None and channels > 1:
        raise BadItem(f"{channels} channels where one is expected; choose one with data.channel")
    if channel is not None and channel >= channels:
        raise BadItem(f"no channel {channel}: the file has {channels}, counted from 0")
    return np.ascontiguousarray(samples[:, channel or 0])


def _check_riff(head: bytes, size: int) -> None:
    """Compares the stated size of the data chunk with the file's; raises BadItem. `head` is what follows byte 12."""
    at = 0
    while at + 8 <= len(head):
        name, length = struct.unpack_from("<4sI", head, at)
        if name == b"data":
            there = size - 12 - at - 8
            if length != 0xFFFFFFFF and there < length:  # that value: length unknown, as streams write it
                raise BadItem(f"truncated: {there} bytes of samples instead of {length}")
            return
        at += 8 + length + length % 2
