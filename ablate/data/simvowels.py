"""SimVowels: vowels of synthetic speakers, two filtered noise spectra multiplied (decvae.md 1; arXiv 2601.06844)."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ablate.data.audio import AudioOptions, rephased, resynthesise, spectra
from ablate.data.items import NO_LABEL, FactorKind, Item, Scale, Sequence
from ablate.data.splits import SPLITS
from ablate.data.windows import WindowOptions, frame_labels
from ablate.registry import DATASETS

VERSION = 1  # raise it whenever the samples of an utterance change
RATE, SEGMENT, N_FFT = 16_000, 1600, 2048
FORMANTS = {  # Hz
    5: {
        "a": (710, 1100, 2540),
        "e": (550, 1770, 2490),
        "I": (400, 1920, 2560),
        "aw": (590, 880, 2540),
        "u": (310, 870, 2250),
    },
    8: {
        "i": (280, 2250, 2890),
        "I": (400, 1920, 2560),
        "e": (550, 1770, 2490),
        "ae": (690, 1660, 2490),
        "a": (710, 1100, 2540),
        "aw": (590, 880, 2540),
        "y": (450, 1030, 2380),
        "u": (310, 870, 2250),
    },
}
AMPLITUDES = (1.0, 0.5, 0.3)
SPEAKERS = {  # vocal tract factor: the mean of each published range
    "train": (0.715, 0.795, 0.835, 0.875, 0.955, 1.035, 1.115, 1.155, 1.195, 1.275),
    "valid": (0.745, 0.905, 0.985, 1.065, 1.225),
    "test": (0.765, 0.925, 1.005, 1.085, 1.245),
}
FIRST = {"train": 1, "valid": 11, "test": 16}  # number of the first speaker of each split
F0 = (100, 120, 150, 180, 220)  # Hz, for `f0: independent`


@dataclass(frozen=True, kw_only=True)
class SimVowelsOptions(AudioOptions, WindowOptions):
    """Small setting by default (defaults.md 2); as published: `utterances: [4000, 500, 300], assign: uniform`."""

    seed: int = field(default=0, metadata={"ge": 0})
    utterances: tuple[int, ...] = (64, 24, 24)  # train, valid, test
    segments: int = field(default=40, metadata={"ge": 1})  # of 0.1 s
    vowels: Literal[5, 8] = 5
    snr: float = 15.0  # dB, exact in every segment
    assign: Literal["turn", "uniform"] = "turn"  # utterance i has speaker i mod n, or a drawn one as published
    excitation: Literal["noise", "true_f0"] = "noise"
    f0: Literal["tied", "independent"] = "tied"  # with true_f0: 120 Hz / vocal tract factor, or drawn per utterance

    def __post_init__(self) -> None:
        if len(self.utterances) != 3 or min(self.utterances) < 1:
            raise ValueError("utterances are three numbers of at least 1: train, valid, test")


@dataclass(frozen=True)
class Utterance:
    """One generated utterance."""

    audio: np.ndarray  # (segments * 1600,) float32 at 16 kHz; peaks may exceed 1 a little
    vowel: np.ndarray  # (segments,) label of each segment
    speaker: str  # SP1 .. SP20
    factor: float  # vocal tract factor
    f0: float  # Hz; of no audible effect with noise excitation


def synthesise(split: str, index: int, options: SimVowelsOptions) -> Utterance:
    """Utterance `index` of a split: depends on the seed, the split and its index, and not on how many there are."""
    rng, speaker = _begin(split, index, options)
    factor = SPEAKERS[split][speaker - FIRST[split]]
    pitch = float(F0[int(rng.integers(len(F0)))])
    f0 = pitch if options.f0 == "independent" else 120 / factor
    vowel = rng.integers(options.vowels, size=options.segments)
    carrier, excitation, noise = rng.standard_normal((3, options.segments, SEGMENT))
    if options.excitation == "true_f0":
        excitation[:] = _pulses(f0)
    clean = _segments(carrier, excitation, vowel, factor, options)
    audio = (clean + _at_snr(noise, clean, options.snr)).astype(np.float32).ravel()
    return Utterance(audio, vowel, f"SP{speaker}", factor, f0)


def _begin(split: str, index: int, options: SimVowelsOptions) -> tuple[np.random.Generator, int]:
    """The utterance's generator after its first draw, and the number of its speaker."""
    seeds = np.random.SeedSequence(options.seed, spawn_key=(SPLITS.index(split), index))
    rng = np.random.default_rng(seeds)
    drawn = int(rng.integers(len(SPEAKERS[split])))
    return rng, FIRST[split] + (index % len(SPEAKERS[split]) if options.assign == "turn" else drawn)


def _segments(
    carrier: np.ndarray, excitation: np.ndarray, vowel: np.ndarray, factor: float, options: SimVowelsOptions
) -> np.ndarray:
    """Clean segments with peak 1, (segments, SEGMENT), of the noise that carries the formants and the excitation.

    As published, the spectra are multiplied at 2048 points, a circular convolution that wraps; `true_f0` uses 4096.
    """
    shaped = np.empty_like(carrier)
    for label, formants in enumerate(FORMANTS[options.vowels].values()):
        mine = vowel == label
        shaped[mine] = sum(
            amplitude * _bandpass(carrier[mine], formant / factor - 100, formant / factor + 100)
            for amplitude, formant in zip(AMPLITUDES, formants, strict=True)
        )
    points = N_FFT if options.excitation == "noise" else 2 * N_FFT
    product = np.fft.rfft(shaped, points) * np.fft.rfft(_bandpass(excitation, 65, 7999), points)
    y = np.fft.irfft(product, points)[:, :SEGMENT]
    return y / np.abs(y).max(axis=1, keepdims=True)


def _bandpass(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Causal Butterworth band-pass of design order 4 (8 poles) from rest, along the last axis."""
    from scipy.signal import butter, lfilter

    b, a = butter(4, (low, high), btype="bandpass", fs=RATE)
    return lfilter(b, a, x)


def _pulses(f0: float) -> np.ndarray:
    """Unit impulses at round(k fs / f0), (SEGMENT,)."""
    train = np.zeros(SEGMENT)
    train[np.round(np.arange(0, SEGMENT - 0.5, RATE / f0)).astype(int)] = 1
    return train


def _at_snr(noise: np.ndarray, clean: np.ndarray, snr: float) -> np.ndarray:
    """The noise scaled to exactly this signal-to-noise ratio in every segment (the public script redraws instead)."""
    power = (clean**2).mean(axis=1, keepdims=True) / (noise**2).mean(axis=1, keepdims=True)
    return noise * np.sqrt(power * 10 ** (-snr / 10))


@DATASETS("simvowels", options=SimVowelsOptions)
class SimVowels:
    """Synthetic vowels of 10 + 5 + 5 speakers (decvae.md 1): speaker is static, vowel changes every 0.1 s."""

    def __init__(self, options: SimVowelsOptions):
        self.options = options
        self.frame = (options.dimension,)
        self.factors: dict[str, FactorKind] = {"speaker": "static", "vowel": "frame"}
        if options.excitation == "true_f0" and options.f0 == "independent":
            self.factors["f0"] = "static"
        self.classes = {"vowel": list(FORMANTS[options.vowels])}
        self.unit = "speaker"
        self.scale: Scale = "none" if options.features == "power" else "standard"

    def items(self) -> list[Item]:
        """The utterances of all splits; the id holds split and index."""
        names = ("seed", "segments", "vowels", "snr", "assign", "excitation", "f0")
        told = " ".join(f"{name}={getattr(self.options, name)}" for name in names)
        source = f"generator=simvowels@{VERSION} {told}"
        return [
            Item(f"{split}/{index}", f"SP{_begin(split, index, self.options)[1]}", split, source=source, part=index)
            for split, count in zip(SPLITS, self.options.utterances, strict=True)
            for index in range(count)
        ]

    def load(self, item: Item) -> Sequence:
        """Features and speaker of one utterance, and the vowel of each frame (-1 where the frame straddles two)."""
        split = item.split or "train"
        spoken = synthesise(split, item.part, self.options)
        x = spectra(spoken.audio, RATE, self.options)
        window, hop = self.options.samples(RATE)
        starts = np.arange(len(spoken.vowel)) * SEGMENT
        vowel, overlap = frame_labels(starts, starts + SEGMENT, spoken.vowel, len(x), window, hop)
        vowel = np.where(overlap, NO_LABEL, vowel)
        factors: dict[str, str | int | np.ndarray | None]
        factors = {"speaker": spoken.speaker, "vowel": vowel, "f0": f"{spoken.f0:g}"}
        return Sequence(x, {name: factors[name] for name in self.factors})

    def recording(self, item: Item) -> np.ndarray:
        """Samples of one utterance, (S,)."""
        return synthesise(item.split or "train", item.part, self.options).audio

    def rephased(self, features: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """A recording and the sound of (L, D) features in raw units under its phase; None without a way back."""
        return rephased(features, samples, RATE, self.options)

    def resynthesise(self, features: np.ndarray) -> tuple[np.ndarray, int]:
        """Sound of (L, D) features in raw units, and its rate in Hz."""
        return resynthesise(features, RATE, self.options), RATE
