"""Linear Gaussian state-space models whose matrices change with time: exact filter, smoother, densities and draws.

z_1 ~ N(0, S0), z_t = A_t z_{t-1} + u_t + N(0, Q) for t >= 2, a_t = C_t z_t + N(0, R). Covariances are updated in forms
that stay positive definite (Joseph's for the filter, its mirror image for the smoother) and symmetrised. A matrix that
is not positive definite all the same gives NaN, which ends a run as diverged, not an error.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Dynamics:
    """The matrices of B sequences; A_1 and u_1 are not used."""

    A: Tensor  # (B, T, Z, Z)
    u: Tensor  # (B, T, Z)
    C: Tensor  # (B, T, D, Z)
    Q: Tensor  # (Z, Z)
    R: Tensor  # (D, D)
    S0: Tensor  # (Z, Z)


@dataclass(frozen=True)
class Filtered:
    """What is known of z_t from a_{1..t}, and what was expected of z_t and a_t from a_{1..t-1}."""

    mean: Tensor  # (B, T, Z)
    cov: Tensor  # (B, T, Z, Z)
    ahead_mean: Tensor  # (B, T, Z) of z_t from a_{1..t-1}
    ahead_cov: Tensor  # (B, T, Z, Z)
    innovation: Tensor  # (B, T, D) a_t less its expectation
    chol: Tensor  # (B, T, D, D) lower factor of the covariance of the innovation

    def log_likelihood(self) -> Tensor:
        """log p(a_{1..T}), nats, (B,): exact, from the innovations."""
        return log_normal(self.innovation, self.chol).sum(1)


@dataclass(frozen=True)
class Backward:
    """z_t given z_{t+1} and a_{1..t}: N(mean_t + J_t (z_{t+1} - ahead_mean_{t+1}), cov_t)."""

    J: Tensor  # (B, T - 1, Z, Z)
    cov: Tensor  # (B, T, Z, Z), the last that of z_T given a_{1..T}


def predict(mean: Tensor, cov: Tensor, A: Tensor, u: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
    """z_t from z_{t-1}: means (B, Z), covariances (B, Z, Z)."""
    return times(A, mean) + u, A @ cov @ A.mT + Q


def observe(ahead: Tensor, P: Tensor, C: Tensor, R: Tensor) -> tuple[Tensor, Tensor]:
    """What to expect of a_t: mean (B, D) and lower factor of the covariance S = C P C' + R, (B, D, D)."""
    return times(C, ahead), cholesky(symmetric(C @ P @ C.mT) + R)


def update(ahead: Tensor, P: Tensor, C: Tensor, R: Tensor, innovation: Tensor, chol: Tensor) -> tuple[Tensor, Tensor]:
    """z_t once a_t is seen: mean (B, Z) and covariance in Joseph's form (B, Z, Z)."""
    K = torch.cholesky_solve(C @ P, chol).mT  # (B, Z, D)
    kept = torch.eye(P.shape[-1], dtype=P.dtype, device=P.device) - K @ C
    return ahead + times(K, innovation), symmetric(kept @ P @ kept.mT + K @ R @ K.mT)


def kalman(a: Tensor, its: Dynamics) -> Filtered:
    """The Kalman filter over a (B, T, D)."""
    mean, cov = its.u.new_zeros(its.u[:, 0].shape), its.S0.expand_as(its.A[:, 0])
    steps = []
    for t, (a_t, A, u, C) in enumerate(zip(*(part.unbind(1) for part in (a, its.A, its.u, its.C)), strict=True)):
        ahead, P = predict(mean, cov, A, u, its.Q) if t else (mean, cov)
        expected, chol = observe(ahead, P, C, its.R)
        mean, cov = update(ahead, P, C, its.R, a_t - expected, chol)
        steps.append((mean, cov, ahead, P, a_t - expected, chol))
    return Filtered(*(torch.stack(parts, dim=1) for parts in zip(*steps, strict=True)))


def look_back(seen: Filtered, its: Dynamics) -> Backward:
    """The backward chain, all frames at once: its recursion runs over the means alone."""
    A, before = its.A[:, 1:], seen.cov[:, :-1]
    J = torch.cholesky_solve(A @ before, cholesky(seen.ahead_cov[:, 1:])).mT  # Sig_t A' P_{t+1}^-1
    kept = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device) - J @ A
    cov = symmetric(kept @ before @ kept.mT + J @ its.Q @ J.mT)  # Sig_t - J P_{t+1} J', positive definite
    return Backward(J, torch.cat([cov, seen.cov[:, -1:]], dim=1))


def smooth(seen: Filtered, chain: Backward) -> tuple[Tensor, Tensor]:
    """z_t given a_{1..T} (Rauch, Tung and Striebel): means (B, T, Z) and covariances (B, T, Z, Z)."""
    mean, cov = seen.mean[:, -1], seen.cov[:, -1]
    means, covs = [mean], [cov]
    for t in range(chain.J.shape[1] - 1, -1, -1):
        J = chain.J[:, t]
        mean = seen.mean[:, t] + times(J, mean - seen.ahead_mean[:, t + 1])
        cov = chain.cov[:, t] + symmetric(J @ cov @ J.mT)  # = Sig_t + J (cov - P_{t+1}) J'
        means.append(mean)
        covs.append(cov)
    return torch.stack(means[::-1], dim=1), torch.stack(covs[::-1], dim=1)


def draw(seen: Filtered, chain: Backward, noise: Tensor) -> tuple[Tensor, Tensor]:
    """A path z ~ p(z_{1..T} | a) by reparametrised noise (B, T, Z), and its log-density (B,)."""
    chol = cholesky(chain.cov)
    scaled = times(chol, noise)  # (B, T, Z)
    z = seen.mean[:, -1] + scaled[:, -1]
    path = [z]
    for t in range(chain.J.shape[1] - 1, -1, -1):
        z = seen.mean[:, t] + times(chain.J[:, t], z - seen.ahead_mean[:, t + 1]) + scaled[:, t]
        path.append(z)
    return torch.stack(path[::-1], dim=1), log_normal(scaled, chol).sum(1)


def draw_marginals(mean: Tensor, cov: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """z_t ~ p(z_t | a), each frame for itself, and the sum of their log-densities (B,)."""
    chol = cholesky(cov)
    scaled = times(chol, noise)
    return mean + scaled, log_normal(scaled, chol).sum(1)


def log_joint(a: Tensor, z: Tensor, its: Dynamics) -> Tensor:
    """log p(a, z), nats, (B,)."""
    first = log_normal(z[:, :1], cholesky(its.S0))
    moved = z[:, 1:] - times(its.A[:, 1:], z[:, :-1]) - its.u[:, 1:]
    seen = a - times(its.C, z)
    parts = (first, log_normal(moved, cholesky(its.Q)), log_normal(seen, cholesky(its.R)))
    return torch.cat(parts, dim=1).sum(1)


def log_normal(x: Tensor, chol: Tensor) -> Tensor:
    """log N(x; 0, L L') for x (..., D) and lower factors L (..., D, D)."""
    scaled = torch.linalg.solve_triangular(chol, x.unsqueeze(-1), upper=False).squeeze(-1)
    log_det = chol.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return -0.5 * (scaled**2).sum(-1) - log_det - 0.5 * x.shape[-1] * math.log(2 * math.pi)


def cholesky(matrix: Tensor) -> Tensor:
    """Lower factor; NaN where the matrix is not positive definite."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    return torch.where((failed > 0)[..., None, None], math.nan, factor)


def symmetric(matrix: Tensor) -> Tensor:
    """(M + M') / 2."""
    return 0.5 * (matrix + matrix.mT)


def times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrices (..., M, N) times vectors (..., N)."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)
