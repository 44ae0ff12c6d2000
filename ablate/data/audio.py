"""Spectral features of speech, and the way back from features to sound."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ablate.errors import Mistake

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MEL_TO_LINEAR_FLOOR = 1e-10  # power below which a bin counts as silent in resynthesis


@dataclass(frozen=True, kw_only=True)
class AudioOptions:
    """How samples become frames. Frame i covers the samples [hop i, hop i + window): nothing is padded or centred.

    logmel: log(power in Slaney mel bands of unit area + floor). logmag: log(power + floor) / 2. power: |X|^2, for the
    Itakura-Saito likelihood (not normalised on reading). Natural logarithms; samples lie in [-1, 1].
    """

    features: Literal["logmel", "logmag", "power"] = "logmel"
    window_ms: float = field(default=25.0, metadata={"gt": 0})
    hop_ms: float = field(default=20.0, metadata={"gt": 0})
    n_fft: int = field(default=512, metadata={"ge": 16})
    n_mels: int = field(default=80, metadata={"ge": 1})
    taper: Literal["hamming", "hann", "sine"] = "hamming"
    floor: float = field(default=1e-6, metadata={"gt": 0})

    def samples(self, rate: int) -> tuple[int, int]:
        """Window and hop in samples; raises Mistake where the window is longer than the FFT."""
        window, hop = round(self.window_ms * rate / 1000), round(self.hop_ms * rate / 1000)
        if window > self.n_fft:
            raise Mistake(
                f"data.n_fft {self.n_fft} is shorter than the window: {self.window_ms:g} ms at {rate} Hz are {window}"
                f" samples; use n_fft {1 << (window - 1).bit_length()}."
            )
        if not (window and hop):
            raise Mistake(f"data.window_ms and data.hop_ms are less than one sample at {rate} Hz.")
        return window, hop

    @property
    def dimension(self) -> int:
        """Numbers per frame."""
        return self.n_mels if self.features == "logmel" else self.n_fft // 2 + 1


def spectra(samples: np.ndarray, rate: int, options: AudioOptions) -> np.ndarray:
    """Features of one utterance: (S,) samples in [-1, 1] -> (L, D) float32, L = 1 + (S - window) // hop, or 0.

    Sums run in a fixed order (no BLAS), so that the numbers do not depend on the number of threads.
    """
    spectrum = transform(samples, rate, options)  # (L, F)
    if not len(spectrum):
        return np.zeros((0, options.dimension), np.float32)
    power = spectrum.real**2 + spectrum.imag**2
    if options.features == "logmel":
        bands = (_mel_bank(rate, options.n_fft, options.n_mels) @ power.T).T
        return np.log(bands + options.floor).astype(np.float32)
    if options.features == "logmag":
        power = 0.5 * np.log(power + options.floor)
    return power.astype(np.float32)


def transform(samples: np.ndarray, rate: int, options: AudioOptions) -> np.ndarray:
    """Short-time Fourier transform, (S,) -> (L, F) complex128, F = n_fft // 2 + 1."""
    window, hop = options.samples(rate)
    if len(samples) < window:
        return np.zeros((0, options.n_fft // 2 + 1), np.complex128)
    frames = sliding_window_view(np.asarray(samples, np.float64), window)[::hop]  # (L, window)
    return np.fft.rfft(frames * _taper(options.taper, window), options.n_fft)


def frame_peaks(samples: np.ndarray, rate: int, options: AudioOptions) -> np.ndarray:
    """Largest absolute sample of every frame, (S,) -> (L,)."""
    window, hop = options.samples(rate)
    if len(samples) < window:
        return np.zeros(0)
    peaks: np.ndarray = sliding_window_view(np.abs(samples), window)[::hop].max(axis=1)
    return peaks


def rephased(
    features: np.ndarray, samples: np.ndarray, rate: int, options: AudioOptions
) -> tuple[np.ndarray, np.ndarray] | None:
    """A recording and the sound of features (L, D) in raw units under its phase, float64, (S',) both.

    S' = (L + 1) hop - window. The features are those of the first L frames of `samples` (S,). The inverse transform is
    that of least squared error (Griffin and Lim 1984); the first and the last window - hop samples, which fewer frames
    cover than all others, are left out. None where there is no way back: logmel, or gaps between the frames.
    """
    window, hop = options.samples(rate)
    if options.features == "logmel" or hop > window or (len(features) + 1) * hop <= window:
        return None
    x = np.asarray(features, np.float64)
    power = np.exp(2 * x) - options.floor if options.features == "logmag" else x
    phase = np.angle(transform(samples, rate, options)[: len(x)])
    taper = _taper(options.taper, window)
    frames = np.fft.irfft(np.sqrt(np.maximum(power, 0)) * np.exp(1j * phase), options.n_fft)[:, :window] * taper
    sound, weight = np.zeros((2, (len(x) - 1) * hop + window))
    for i, frame in enumerate(frames):
        sound[i * hop : i * hop + window] += frame
        weight[i * hop : i * hop + window] += taper**2
    inner = slice(window - hop, len(x) * hop)
    return np.asarray(samples, np.float64)[inner], sound[inner] / np.maximum(weight[inner], 1e-8)


def resynthesise(features: np.ndarray, rate: int, options: AudioOptions, iterations: int = 32) -> np.ndarray:
    """A sound with these features: (L, D) in raw units -> (S,) float32, S = (L - 1) hop + window, peak at most 1.

    Mel bands go to linear frequency by non-negative least squares, phases by Griffin-Lim (fixed seed): both of librosa.
    """
    import librosa

    window, hop = options.samples(rate)
    x = np.asarray(features, np.float64).T  # (D, L)
    if options.features == "logmel":
        bands = np.maximum(np.exp(x) - options.floor, 0)
        magnitude = librosa.feature.inverse.mel_to_stft(bands, sr=rate, n_fft=options.n_fft, power=2.0)
    elif options.features == "logmag":
        magnitude = np.sqrt(np.maximum(np.exp(2 * x) - options.floor, 0))
    else:
        magnitude = np.sqrt(np.maximum(x, 0))
    left = (options.n_fft - window) // 2  # librosa puts the window into the middle of the FFT
    taper = _taper(options.taper, window)
    shape: dict[str, Any] = {"hop_length": hop, "win_length": window, "window": taper, "center": False}
    sound = librosa.griffinlim(magnitude, n_iter=iterations, n_fft=options.n_fft, random_state=0, **shape)
    sound = sound[left : left + (x.shape[1] - 1) * hop + window]
    return (sound / max(1.0, float(np.abs(sound).max(initial=0)))).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray, rate: int) -> Path:
    """Write samples (S,) in [-1, 1] as 16-bit PCM; returns the path, raises OSError where it cannot be written."""
    import soundfile

    with path.open("wb") as file:
        soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return path


@lru_cache(maxsize=8)
def _taper(name: str, window: int) -> np.ndarray:
    """The window, (window,): periodic, or half a sine wave sin(pi (n + 1/2) / window)."""
    if name == "sine":
        return np.sin(np.pi * (np.arange(window) + 0.5) / window)
    edge, rest = (0.54, 0.46) if name == "hamming" else (0.5, 0.5)
    return edge - rest * np.cos(2 * np.pi * np.arange(window) / window)


@lru_cache(maxsize=8)
def _mel_bank(rate: int, n_fft: int, n_mels: int) -> "csr_array":
    """Slaney mel filters, (n_mels, n_fft // 2 + 1); raises Mistake where a band catches no bin."""
    import warnings

    import librosa
    from scipy.sparse import csr_array

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bank = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, dtype=np.float64)
    empty = int((bank.sum(axis=1) == 0).sum())
    if empty:
        raise Mistake(
            f"{empty} of {n_mels} mel bands are empty: {n_fft} FFT points at {rate} Hz are too coarse for them;"
            f" lower data.n_mels or raise data.n_fft."
        )
    return csr_array(bank)
