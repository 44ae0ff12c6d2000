"""Filter, smoother and draws against a brute-force joint Gaussian of all states and observations."""

import math

import pytest
import torch

from ablate.models import lgssm
from ablate.models.lgssm import Dynamics

B, T, Z, D = 3, 5, 2, 3


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def spd(seed, n):
    half = normal(seed, n, n)
    return half @ half.T + 0.1 * torch.eye(n, dtype=torch.float64)


@pytest.fixture
def case():
    its = Dynamics(normal(1, B, T, Z, Z), normal(2, B, T, Z), normal(3, B, T, D, Z), spd(4, Z), spd(5, D), spd(6, Z))
    return its, normal(7, B, T, D)


def joint(its: Dynamics, length: int = T) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of [z_1..z_T, a_1..a_length] of the first sequence, from a stack of independent noises."""
    noises = [its.S0, *[its.Q] * (T - 1), *[its.R] * length]
    sizes = [len(its) for its in noises]
    rows, mean = [], []
    maps = torch.zeros(Z, sum(sizes), dtype=torch.float64)
    centre = torch.zeros(Z, dtype=torch.float64)
    for t in range(T):
        if t:
            maps, centre = its.A[0, t] @ maps, its.A[0, t] @ centre + its.u[0, t]
        maps = maps.clone()
        maps[:, t * Z : (t + 1) * Z] += torch.eye(Z, dtype=torch.float64)
        rows.append(maps)
        mean.append(centre)
    for t in range(length):
        seen = its.C[0, t] @ rows[t]
        seen[:, T * Z + t * D : T * Z + (t + 1) * D] += torch.eye(D, dtype=torch.float64)
        rows.append(seen)
        mean.append(its.C[0, t] @ mean[t])
    M = torch.cat(rows)
    return torch.cat(mean), M @ torch.block_diag(*noises) @ M.T


def given(mean: torch.Tensor, cov: torch.Tensor, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of all states given the observations at the end of the joint."""
    n = T * Z
    gain = cov[:n, n:] @ torch.linalg.inv(cov[n:, n:])
    return mean[:n] + gain @ (a.flatten() - mean[n:]), cov[:n, :n] - gain @ cov[n:, :n]


def log_density(x, mean, cov):
    return torch.distributions.MultivariateNormal(mean, cov).log_prob(x).item()


def test_filtered_states_and_likelihood(case):
    its, a = case
    seen = lgssm.kalman(a, its)
    for t in range(T):
        mean, cov = given(*joint(its, t + 1), a[0, : t + 1])
        at = slice(t * Z, (t + 1) * Z)
        assert torch.allclose(seen.mean[0, t], mean[at], atol=1e-10)
        assert torch.allclose(seen.cov[0, t], cov[at, at], atol=1e-10)
    mean, cov = joint(its)
    n = T * Z
    dense = log_density(a[0].flatten(), mean[n:], cov[n:, n:])
    assert seen.log_likelihood()[0].item() == pytest.approx(dense, abs=1e-9)


def test_smoothed_states_equal_the_dense_solve(case):
    its, a = case
    seen = lgssm.kalman(a, its)
    means, covs = lgssm.smooth(seen, lgssm.look_back(seen, its))
    mean, cov = given(*joint(its), a[0])
    for t in range(T):
        at = slice(t * Z, (t + 1) * Z)
        assert torch.allclose(means[0, t], mean[at], atol=1e-10)
        assert torch.allclose(covs[0, t], cov[at, at], atol=1e-10)
    assert torch.equal(covs, covs.mT)


def test_smoothed_covariance_is_the_textbook_recursion(case):
    its, a = case
    seen = lgssm.kalman(a, its)
    chain = lgssm.look_back(seen, its)
    _, covs = lgssm.smooth(seen, chain)
    J = seen.cov[:, :-1] @ its.A[:, 1:].mT @ torch.linalg.inv(seen.ahead_cov[:, 1:])
    assert torch.allclose(chain.J, J, atol=1e-10)
    assert torch.allclose(covs[:, :-1], seen.cov[:, :-1] + J @ (covs[:, 1:] - seen.ahead_cov[:, 1:]) @ J.mT, atol=1e-10)


def test_a_joint_draw_has_the_density_of_the_smoothing_distribution(case):
    its, a = case
    seen = lgssm.kalman(a, its)
    z, log_q = lgssm.draw(seen, lgssm.look_back(seen, its), normal(8, B, T, Z))
    mean, cov = given(*joint(its), a[0])
    assert log_q[0].item() == pytest.approx(log_density(z[0].flatten(), mean, cov), abs=1e-9)
    still, _ = lgssm.draw(seen, lgssm.look_back(seen, its), torch.zeros(B, T, Z, dtype=torch.float64))
    assert torch.allclose(still[0].flatten(), mean, atol=1e-10)


def test_a_joint_draw_gives_the_innovations_value_whatever_its_noise(case):
    its, a = case
    seen = lgssm.kalman(a, its)
    for seed in range(9, 14):
        z, log_q = lgssm.draw(seen, lgssm.look_back(seen, its), 3 * normal(seed, B, T, Z))
        assert torch.allclose(lgssm.log_joint(a, z, its) - log_q, seen.log_likelihood(), atol=1e-9)


def test_draws_from_marginals_give_a_lower_bound_in_expectation(case):
    its, a = case
    seen = lgssm.kalman(a, its)
    mean, cov = lgssm.smooth(seen, lgssm.look_back(seen, its))
    values = []
    for seed in range(2000):
        z, log_q = lgssm.draw_marginals(mean, cov, normal(seed, B, T, Z))
        values.append(lgssm.log_joint(a, z, its) - log_q)
    values = torch.stack(values) - seen.log_likelihood()
    _, full = given(*joint(its), a[0])
    blocks = torch.block_diag(*cov[0])
    trace = (torch.linalg.inv(full) * blocks).sum() - T * Z
    gap = 0.5 * (trace + full.logdet() - blocks.logdet()).item()  # KL of the product of the marginals from the joint
    assert gap > 0.1
    error = 4 * values[:, 0].std().item() / len(values) ** 0.5
    assert values[:, 0].mean().item() == pytest.approx(-gap, abs=error)


def test_log_joint_by_the_dense_density(case):
    its, a = case
    z = normal(20, B, T, Z)
    together = torch.cat([z[0].flatten(), a[0].flatten()])
    assert lgssm.log_joint(a, z, its)[0].item() == pytest.approx(log_density(together, *joint(its)), abs=1e-8)


def test_one_frame_by_hand():
    # z ~ N(0, 4), a = 2 z + N(0, 1), a = 1: S = 17, K = 8 / 17
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    its = Dynamics(one, one[0], 2 * one, one[0, 0], one[0, 0], 4 * one[0, 0])
    seen = lgssm.kalman(one[0], its)
    assert seen.mean.item() == pytest.approx(8 / 17) and seen.cov.item() == pytest.approx(4 / 17)
    assert seen.log_likelihood().item() == pytest.approx(-0.5 * (math.log(2 * math.pi * 17) + 1 / 17))
    mean, cov = lgssm.smooth(seen, lgssm.look_back(seen, its))
    assert torch.equal(mean, seen.mean) and torch.equal(cov, seen.cov)


def test_gradients_reach_every_matrix(case):
    its, a = case
    leaves = [part[:1, :3].clone() for part in (its.A, its.u, its.C, a)]
    leaves += [torch.linalg.cholesky(part) for part in (its.Q, its.R, its.S0)]  # moved, a product stays symmetric

    def likelihood(A, u, C, a, *halves):
        return lgssm.kalman(a, Dynamics(A, u, C, *(half @ half.T for half in halves))).log_likelihood()

    assert torch.autograd.gradcheck(likelihood, [leaf.requires_grad_() for leaf in leaves])


def test_what_is_not_positive_definite_becomes_nan():
    good, bad = torch.eye(2), torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    factor = lgssm.cholesky(torch.stack([good, bad]))
    assert torch.equal(factor[0], good) and factor[1].isnan().all()


def test_single_precision_stays_positive_definite_over_a_long_sequence():
    A, u, C = 0.999 * torch.eye(Z).expand(1, 500, Z, Z), torch.zeros(1, 500, Z), 0.05 * normal(1, 1, 500, 8, Z).float()
    its = Dynamics(A, u, C, 0.08 * torch.eye(Z), 0.03 * torch.eye(8), 20 * torch.eye(Z))
    seen = lgssm.kalman(normal(2, 1, 500, 8).float(), its)
    z, log_q = lgssm.draw(seen, lgssm.look_back(seen, its), normal(3, 1, 500, Z).float())
    assert seen.log_likelihood().isfinite().all() and z.isfinite().all() and log_q.isfinite().all()
