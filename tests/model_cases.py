"""Small members of every model, and batches for them: what the contract tests of models and loss terms run over."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ablate.models.dkf import DKFOptions
from ablate.models.dsae import DSAEOptions
from ablate.models.dsae_lstm import LSTMCOptions, LSTMFOptions
from ablate.models.fhvae import FHVAEOptions
from ablate.models.kvae import KVAEOptions
from ablate.models.rvae import RVAEOptions
from ablate.models.s3vae import S3VAEOptions
from ablate.models.speech_vae import SpeechVAEOptions
from ablate.models.srnn import SRNNOptions
from ablate.models.storn import STORNOptions
from ablate.models.vae import VAEOptions
from ablate.models.vrnn import VRNNOptions
from ablate.random import Draws, initialise
from ablate.registry import MODELS, build
from ablate.types import Batch, Output

VECTOR, PICTURE = (5,), (3, 16, 16)
SEQUENCES = 8  # of which a model may hold something


@dataclass(frozen=True)
class Case:
    """A model small enough for milliseconds."""

    model: str
    options: Any
    frame: tuple[int, ...] = VECTOR
    length: int = 3  # the window that a model of whole segments is built for
    any_length: bool = True  # whether it takes others too

    def make(self) -> nn.Module:
        return build(MODELS[self.model], self.frame, self.options, self.length, SEQUENCES)

    def build(self, seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Module:
        model = self.make()
        initialise(model, seed)
        return model.to(dtype).eval()


CASES = {
    "vae": Case("vae", VAEOptions(z_dim=3, dense=(7,))),
    "vae-pictures": Case("vae", VAEOptions(z_dim=3, channels=12, feature=24), PICTURE),
    "dsae": Case("dsae", DSAEOptions("tiny")),
    "dsae-normal": Case(
        "dsae", DSAEOptions("tiny", prior="normal", dense_x=(6,), dense_f=(5,), dense_xf=(7,), dense_z=(6,))
    ),
    "dsae-factorised": Case("dsae", DSAEOptions("tiny", inference="factorised")),
    "dsae-factorised-normal": Case("dsae", DSAEOptions("tiny", inference="factorised", prior="normal", decoder=())),
    "dsae-pictures": Case("dsae", DSAEOptions("tiny"), PICTURE),
    "dkf": Case("dkf", DKFOptions(z_dim=3, dense_x_gx=(6,), rnn_gx=5, dense_ztm1_g=(4,), dense_g_z=(4,))),
    "dkf-empty": Case("dkf", DKFOptions("small", False, 3, (), 5, (), (), ())),
    "dkf-bidirectional": Case("dkf", DKFOptions(bidirectional=True, z_dim=3, rnn_gx=5)),
    "rvae": Case("rvae", RVAEOptions("interspeech", True, 3, (6,), 5, (4,), 6, (7,), (4,), 5, (6,))),
    "rvae-empty": Case("rvae", RVAEOptions("small", True, 3, (), 5, (), 4, (), (), 6, ())),
    "rvae-noncausal": Case("rvae", RVAEOptions("small", False, 3, (6,), 5, (4,), 6, (7,), (4,), 5, (6,))),
    "rvae-noncausal-empty": Case("rvae", RVAEOptions("small", False, 3, (), 5, (), 4, (), (), 6, ())),
    "kvae": Case("kvae", KVAEOptions(a_dim=4, z_dim=3, dense_x_a=(6,), dense_a_x=(6,), rnn_alpha=5)),
    "kvae-sampled": Case("kvae", KVAEOptions("small", "sampled", 0.08, 0.03, 20.0, 4, 3, 2, (), (), 5)),
    "kvae-marginals": Case("kvae", KVAEOptions("small", "marginals", 0.08, 0.03, 20.0, 4, 3, 2, (6,), (6,), 5)),
    "storn": Case("storn", STORNOptions(z_dim=3, dense_x_g=(6,), rnn_g=5, dense_g_z=(4,), rnn_h=7)),
    "storn-empty": Case("storn", STORNOptions("small", "teacher", "gaussian", 50, 3, (), 5, (), (), (), 7, ())),
    "storn-generation": Case("storn", STORNOptions(mode="generation", z_dim=3, rnn_g=5, rnn_h=7)),
    "vrnn": Case("vrnn", VRNNOptions("small", "teacher", "gaussian", 50, 3, (6,), (4,), (7,), (6,), (5,), 5)),
    "vrnn-empty": Case("vrnn", VRNNOptions("small", "teacher", "gaussian", 50, 3, (), (), (), (), (), 4)),
    "vrnn-generation": Case("vrnn", VRNNOptions(mode="generation", z_dim=3, dense_x=(), dense_hx_z=(6,), rnn=5)),
    "srnn": Case("srnn", SRNNOptions("small", "teacher", "gaussian", 50, 3, (6,), 5, (7,), 4, (5,), (6,), (4,))),
    "srnn-empty": Case("srnn", SRNNOptions("small", "teacher", "gaussian", 50, 3, (), 5, (), 4, (), (), ())),
    "srnn-generation": Case("srnn", SRNNOptions(mode="generation", z_dim=3, rnn_h=5, rnn_g=4)),
    "speech_vae": Case("speech_vae", SpeechVAEOptions(net="lstm", z_dim=3, hidden=8)),
    "speech_vae-mlp": Case("speech_vae", SpeechVAEOptions(z_dim=3, widths=(9, 7)), any_length=False),
    "speech_vae-conv": Case(
        "speech_vae", SpeechVAEOptions("ali", "conv", 3, channels=(4, 6), dense=(7,)), any_length=False
    ),
    "speech_vae-gated": Case(
        "speech_vae", SpeechVAEOptions(net="gated_conv", z_dim=3, channels=(4, 6, 5), dense=()), any_length=False
    ),
    "lstm_f": Case("lstm_f", LSTMFOptions("tiny", dense_x=(6,), dense_f=(5,))),
    "lstm_c": Case("lstm_c", LSTMCOptions("tiny", rnn_h=6)),
    "lstm_c-pictures": Case("lstm_c", LSTMCOptions("tiny"), PICTURE),
    "fhvae": Case("fhvae", FHVAEOptions("sfh", z1_dim=3, z2_dim=4, hidden=32)),
    "fhvae-one-layer": Case("fhvae", FHVAEOptions(z1_dim=3, z2_dim=4, hidden=5, table=4)),
    "fhvae-simple": Case("fhvae", FHVAEOptions(net="simple", z1_dim=3, z2_dim=4, widths=(7, 6)), any_length=False),
    "s3vae": Case("s3vae", S3VAEOptions("tiny", predictor=(6,))),
    "s3vae-pictures": Case("s3vae", S3VAEOptions("tiny"), PICTURE),
}


def frames(case: Case, B: int = 4, T: int = 3, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """Data in (0, 1), so that every likelihood can read them. (B, T, *frame)."""
    return torch.rand(B, T, *case.frame, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def noise(model: nn.Module, x: Tensor, step: int = 0) -> dict[str, Tensor]:
    """Posterior noise as a training step draws it."""
    draw = draws(len(x), step)
    return {name: draw.normal(f"posterior/{name}", *its).to(x) for name, its in model.noise_shapes(x.shape[1]).items()}


def draws(B: int, step: int = 0) -> Draws:
    return Draws(0, (step,), B, slice(0, B))


def batch(x: Tensor, step: int = 0, n_train: int = 50) -> Batch:
    """Every row a window of another sequence, of seven windows each."""
    rows = torch.arange(len(x))
    return Batch(x, rows, n_train, draws(len(x), step), sequence=rows, segments=torch.full_like(rows, 7))


def passed(model: nn.Module, x: Tensor, eps: dict[str, Tensor]) -> Output:
    """What a training step has the model make of such a batch: one that knows sequences is told theirs."""
    return model(x, eps, model.prior_mean(batch(x))) if hasattr(model, "prior_mean") else model(x, eps)


def run(case: Case, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, Batch, Output]:
    """A fresh model, a batch and what the one makes of the other."""
    model, x = case.build(dtype=dtype), frames(case, dtype=dtype)
    return model, batch(x), passed(model, x, noise(model, x))
