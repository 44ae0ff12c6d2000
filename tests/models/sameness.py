"""What the tests of the looped models share: which frames a result depends on, equality with the naive form."""

from functools import cache

import torch
from model_cases import Case, batch, frames, noise, passed
from naive import NAIVE
from torch import Tensor, nn

from ablate.losses.recon import ReconOptions
from ablate.registry import LOSSES, MODELS
from ablate.training.bench import carried
from ablate.types import Output

LENGTH = 6
EVERYTHING = list(range(LENGTH))
ENDS_AND_MIDDLE = [0, 3, 5]
PRECISIONS = [(torch.float32, 1e-5), (torch.float64, 1e-10)]


def parameters_on_meta(make: type[nn.Module], x_dim: int, options: object) -> int:
    """How many numbers the model learns, without making them."""
    with torch.device("meta"):
        return sum(p.numel() for p in make((x_dim,), options).parameters())


def reached(y: Tensor, leaf: Tensor) -> list[int]:
    """Frames of `leaf` (B, T, ...) that y has a gradient to."""
    if not y.requires_grad:
        return []
    (gradient,) = torch.autograd.grad((y * torch.randn_like(y)).sum(), leaf, retain_graph=True, allow_unused=True)
    return [] if gradient is None else [t for t in range(leaf.shape[1]) if gradient[:, t].any()]


def leaves(case: Case, B: int = 2, T: int = LENGTH) -> tuple[nn.Module, Tensor, Tensor]:
    """The model, data and a path of codes (B, T, z_dim) as leaves."""
    model = case.build()
    x = frames(case, B, T).requires_grad_()
    z = torch.randn(B, T, model.z_dim, generator=torch.Generator().manual_seed(7)).requires_grad_()
    return model, x, z


def results(out: Output) -> list[Tensor]:
    gaussians = [its for group in (out.q, out.p) for g in group.values() for its in (g.mean, g.logvar)]
    return [*gaussians, *out.sample.values(), *out.log_p.values(), out.x_hat]


def assert_equals_naive(case: Case, dtype: torch.dtype, tolerance: float, T: int = 5, **given: Tensor) -> None:
    """Values, and the gradients of their mean squares, agree with the frame-by-frame form."""
    model, x = case.build(dtype=dtype), frames(case, T=T, dtype=dtype).requires_grad_()
    eps = noise(model, x.detach())
    both, wanted = [], [x, *model.parameters()]
    for forward in (model, lambda *args, **more: NAIVE[case.model](model, *args, **more)):
        out = results(forward(x, eps, **given))
        total = torch.stack([(its**2).mean() for its in out]).sum()
        both.append([*out, *torch.autograd.grad(total, wanted, allow_unused=True)])
    for a, b in zip(*both, strict=True):
        assert (a is None) == (b is None)
        assert a is None or (a - b).abs().max() <= tolerance * max(1.0, b.abs().max().item())


def waves(B: int = 8, T: int = 10, D: int = 5) -> Tensor:
    """Smooth sequences around 1 / 2 that differ in phase and pitch, (B, T, D)."""
    g = torch.Generator().manual_seed(3)
    pitch, phase = 0.5 + torch.rand(B, 1, D, generator=g), 6.3 * torch.rand(B, 1, D, generator=g)
    return 0.5 + 0.4 * (pitch * torch.arange(T).reshape(1, T, 1) + phase).sin()


def assert_learns(
    name: str, steps: int = 300, variance: float = 0.02, *, bar: bool = True, **options: object
) -> nn.Module:
    """Trained on its bound, the small preset explains at least half of what varies in eight sequences.

    Their frames follow each other smoothly, so that a model of sequences reaches a better bound (nats per sequence, of
    one more draw) than a VAE of single frames with decoders of the same width; `bar` asks for that too.
    """
    x = waves()
    model, bound = trained(name, steps, variance, **options)
    error, spread = ((model(x, None).x_hat - x) ** 2).sum(), ((x - x.mean((0, 1))) ** 2).sum()
    assert error < 0.5 * spread
    assert not bar or bound < of_single_frames(steps, variance) - 1, "no better bound than a VAE of single frames"
    return model


def trained(name: str, steps: int, variance: float, **options: object) -> tuple[nn.Module, float]:
    """A model in evaluation mode after so many steps on eight sequences, and its negative bound."""
    x = waves()
    model = Case(name, MODELS[name].options(**options), length=x.shape[1]).build().train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    bound, _ = carried(MODELS[name])
    terms = {term: LOSSES[term].options() for term in bound} | {"recon": ReconOptions(variance=variance)}

    def loss(step: int) -> Tensor:
        out = passed(model, x, noise(model, x, step))
        return (
            torch.stack([LOSSES[term].make(model, batch(x), out, options=its) for term, its in terms.items()])
            .sum(0)
            .mean()
        )

    for step in range(steps):
        optimiser.zero_grad()
        loss(step).backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        return model, float(loss(steps))


@cache
def of_single_frames(steps: int, variance: float) -> float:
    """The negative bound of the VAE."""
    return trained("vae", steps, variance)[1]
