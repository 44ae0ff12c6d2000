"""VAE, frame by frame: the baseline that knows nothing of time."""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from ablate.errors import Mistake
from ablate.models import frames
from ablate.models.nets import GaussianHead, check_frames, dense
from ablate.registry import MODELS
from ablate.types import Gaussian, Output


@dataclass(frozen=True)
class VAEOptions:
    """Options of `vae`: `dense` for vectors (published speech net: (128,), z_dim 16), the next two for pictures."""

    z_dim: int = field(default=8, metadata={"ge": 1})
    dense: tuple[int, ...] = (64, 64)
    channels: int = field(default=16, metadata={"ge": 1})
    feature: int = field(default=64, metadata={"ge": 1})
    output: frames.Squash = "linear"


@MODELS("vae", options=VAEOptions, latents={"z": "dynamic"}, decoder=True)
class VAE(nn.Module):
    """Frame-wise variational autoencoder (Kingma and Welling 2014, arXiv 1312.6114): q(z_t | x_t), p(x_t | z_t)."""

    latents: ClassVar[dict[str, str]] = {"z": "dynamic"}

    def __init__(self, frame: tuple[int, ...], options: VAEOptions):
        super().__init__()
        if len(frame) not in (1, 3):
            raise Mistake(f"model vae takes frames that are vectors (D) or pictures (C, H, W), not of shape {frame}")
        self.frame, self.z_dim = frame, options.z_dim
        self.encoder: nn.Module
        if len(frame) == 1:
            self.encoder, feature = dense(frame[0], options.dense)
            body, width = dense(options.z_dim, options.dense[::-1])
            self.decoder = frames.Emission(nn.Sequential(*body, nn.Linear(width, frame[0])), options.output)
        else:
            feature = options.feature
            self.encoder = frames.encoder(frame, frames.SMALL, options.channels, feature)
            self.decoder = frames.decoder(options.z_dim, frame, frames.SMALL, options.channels, options.output)
        self.head = GaussianHead(feature, options.z_dim)

    def noise_shapes(self, length: int) -> dict[str, tuple[int, ...]]:
        """Shape, per sequence, of the standard normal noise that `encode` takes."""
        return {"z": (length, self.z_dim)}

    def start_from(self, mean_frame: Tensor) -> None:
        """Start the learned mean frame (pictures) at the mean of the training frames, (*frame)."""
        self.decoder.start_from(mean_frame)

    def encode(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[dict[str, Gaussian], dict[str, Tensor]]:
        """Posterior and sample (mean without noise) of z, (B, T, z_dim). Raises Mistake for other frames."""
        check_frames(x, self.frame)
        q: Gaussian = self.head(self.encoder(x))
        return {"z": q}, {"z": q.mean if noise is None else q.sample(noise["z"])}

    def decode(self, sample: dict[str, Tensor]) -> Tensor:
        """z (B, T, z_dim) -> (B, T, *frame)."""
        x_hat: Tensor = self.decoder(sample["z"])
        return x_hat

    def sample_prior(self, noise: Tensor, start: Tensor | None = None) -> Tensor:
        """z from N(0, I): the noise itself, (B, T, z_dim), whatever came before."""
        return noise

    def forward(self, x: Tensor, noise: dict[str, Tensor] | None) -> Output:
        """x (B, T, *frame)."""
        q, sample = self.encode(x, noise)
        return Output(q, {"z": Gaussian.standard(sample["z"])}, sample, self.decode(sample))
