"""S3VAE: DSAE with a head that tells from the dynamic code what the data themselves say about each frame."""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from ablate.errors import Mistake
from ablate.models.dsae import DSAE, DSAEOptions, check_kind, draws_per_worker
from ablate.models.nets import dense
from ablate.registry import MODELS
from ablate.types import Gaussian, Output

GRID = 3  # cells of a picture along each side


@dataclass(frozen=True)
class S3VAEOptions(DSAEOptions):
    """Options of `s3vae`: those of `dsae`, and the widths of the predictor of term `dfp`."""

    predictor: tuple[int, ...] = field(default=(32,))  # (Linear, tanh) in front of its output


@MODELS(
    "s3vae",
    options=S3VAEOptions,
    latents={"f": "static", "z": "dynamic"},
    decoder=True,
    predictor=True,
    segments=True,
    workers_matter=draws_per_worker,
)
class S3VAE(nn.Module):
    """Self-supervised sequential VAE: DSAE and a predictor on z_t (Zhu et al. 2020, arXiv 2005.11437).

    The model is `dsae`; what makes it S3VAE are the terms `scc` (triplet), `mi` and `dfp`, which trains the predictor.
    Of vectors the predictor gives one number per frame, of pictures one per cell of a 3 x 3 grid. In the paper its
    targets are those of networks for optical flow and landmarks; here they are computed from the frames alone.
    """

    latents: ClassVar[dict[str, str]] = {"f": "static", "z": "dynamic"}

    def __init__(self, frame: tuple[int, ...], options: S3VAEOptions, window: int):
        super().__init__()
        check_kind("s3vae", frame, options.preset)
        if len(frame) == 3 and window < 2:
            raise Mistake("model s3vae compares neighbouring pictures: data.window must be at least 2")
        if len(frame) == 3 and min(frame[1:]) < GRID:
            raise Mistake(f"model s3vae needs pictures of at least {GRID} x {GRID} pixels, not {frame[1]} x {frame[2]}")
        self.dsae = DSAE(frame, options)
        self.frame, self.z_dim, self.f_dim = frame, self.dsae.z_dim, self.dsae.f_dim
        body, width = dense(self.z_dim, options.predictor)
        self.predictor = nn.Sequential(*body, nn.Linear(width, 1 if len(frame) == 1 else GRID**2))

    def predict(self, z: Tensor) -> Tensor:
        """What z (B, T, z_dim) tells of each frame, (B, T, 1) for vectors and (B, T, 9) for pictures."""
        told: Tensor = self.predictor(z)
        return told

    def noise_shapes(self, length: int) -> dict[str, tuple[int, ...]]:
        """As `dsae`."""
        return self.dsae.noise_shapes(length)

    def start_from(self, mean_frame: Tensor) -> None:
        """As `dsae`."""
        self.dsae.start_from(mean_frame)

    def encode(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[dict[str, Gaussian], dict[str, Tensor]]:
        """Posteriors and samples (without noise the means) of f (B, f_dim), z (B, T, z_dim); may raise Mistake."""
        return self.dsae.encode(x, noise)

    def encode_static(self, x: Tensor) -> Gaussian:
        """q(f | x) alone, (B, f_dim)."""
        return self.dsae.encode_static(x)

    def decode(self, sample: dict[str, Tensor]) -> Tensor:
        """f (B, f_dim) and z (B, T, z_dim), from wherever they come, to (B, T, *frame)."""
        return self.dsae.decode(sample)

    def prior_z(self, z: Tensor) -> Gaussian:
        """p(z_t | z_{<t}) of every frame, given the path z (B, T, z_dim)."""
        return self.dsae.prior_z(z)

    def sample_prior(self, noise: Tensor, start: Tensor | None = None) -> Tensor:
        """Roll z from its prior with noise (B, T, z_dim), behind the path `start` (B, k, z_dim): (B, T, z_dim)."""
        return self.dsae.sample_prior(noise, start)

    def forward(self, x: Tensor, noise: dict[str, Tensor] | None) -> Output:
        """x (B, T, *frame)."""
        out: Output = self.dsae(x, noise)
        return out
