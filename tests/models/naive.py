"""The looped models once more, frame by frame from their equations, with the weights of the hoisted ones.

Every frame is a call of every layer, as published code has it; only outputs are listed and stacked. What the hoisted
models are held to, in values and gradients, and what their speed is measured against.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal
from torch.nn import functional

from ablate.models.dkf import DKF
from ablate.models.feedback import mean_of
from ablate.models.kvae import KVAE
from ablate.models.rvae import RVAE
from ablate.models.srnn import SRNN
from ablate.models.storn import STORN
from ablate.models.vrnn import VRNN
from ablate.types import LOGVAR_MAX, LOGVAR_MIN, Gaussian, Output

Noise = dict[str, Tensor]
State = tuple[Tensor, Tensor] | None


def step(lstm: nn.LSTM, u: Tensor, state: State) -> tuple[Tensor, State]:
    """One frame (B, D) through an LSTM."""
    h, state = lstm(u.unsqueeze(1), state)
    return h[:, 0], state


def reverse(lstm: nn.LSTM, inputs: list[Tensor]) -> list[Tensor]:
    """From the last frame to the first."""
    state, states = None, []
    for u in reversed(inputs):
        h, state = step(lstm, u, state)
        states.append(h)
    return states[::-1]


def forth_and_back(rnn: nn.LSTM, inputs: list[Tensor]) -> list[Tensor]:
    """States of a bidirectional LSTM, each direction in its own loop."""
    kinds = [f"{kind}_l0" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    one = nn.LSTM(rnn.input_size, rnn.hidden_size, batch_first=True).to(inputs[0])
    directions = []
    for suffix, order in (("", inputs), ("_reverse", inputs[::-1])):
        weights = {kind: getattr(rnn, kind + suffix) for kind in kinds}
        state, states = None, []
        for u in order:
            h, state = torch.func.functional_call(one, weights, (u.unsqueeze(1), state))
            states.append(h[:, 0])
        directions.append(states)
    return [torch.cat(both, dim=1) for both in zip(directions[0], directions[1][::-1], strict=True)]


def head(stats: Tensor) -> Gaussian:
    mean, logvar = stats.chunk(2, dim=1)
    return Gaussian(mean, logvar.clamp(LOGVAR_MIN, LOGVAR_MAX))


def stacked(gaussians: list[Gaussian]) -> Gaussian:
    return Gaussian(torch.stack([g.mean for g in gaussians], 1), torch.stack([g.logvar for g in gaussians], 1))


def output(q: list[Gaussian], p: list[Gaussian], z: list[Tensor], x_hat: list[Tensor], name: str = "z") -> Output:
    return Output({name: stacked(q)}, {name: stacked(p)}, {name: torch.stack(z, 1)}, torch.stack(x_hat, 1))


def picks(model: nn.Module, t: int, taught: Tensor, fed: Tensor, own: Tensor | None) -> Tensor:
    """The decoder's state of frame t: of the true frames, or of the own outputs."""
    if model.mode == "teacher":
        return taught
    return fed if own is None or model.mode == "generation" or bool(own[t]) else taught


def storn(model: STORN, x: Tensor, noise: Noise, own: Tensor | None = None) -> Output:
    q, p, z, x_hat = [], [], [], []
    g_state = taught_state = fed_state = None
    last = before = torch.zeros_like(x[:, 0])
    for t in range(x.shape[1]):
        g, g_state = step(model.rnn_g, model.x_g(x[:, t]), g_state)
        q.append(head(model.q(g)))
        z.append(q[t].sample(noise["z"][:, t]))
        p.append(Gaussian.standard(z[t]))
        e = model.z_h(z[t])
        taught, taught_state = step(model.rnn_h, torch.cat([e, model.x_h(before)], 1), taught_state)
        fed = taught
        if model.mode != "teacher":
            fed, fed_state = step(model.rnn_h, torch.cat([e, model.x_h(last)], 1), fed_state)
        x_hat.append(model.out(picks(model, t, taught, fed, own)))
        last, before = mean_of(x_hat[t], model.likelihood).detach(), x[:, t]
    return output(q, p, z, x_hat)


def dkf(model: DKF, x: Tensor, noise: Noise) -> Output:
    q, p, z, x_hat = [], [], [], []
    T = x.shape[1]
    e = [model.x_g(x[:, t]) for t in range(T)]
    if model.bidirectional:
        g = [its.chunk(2, dim=1) for its in forth_and_back(model.rnn_g, e)]
    else:
        g = [(its,) for its in reverse(model.rnn_g, e)]
    last = torch.zeros_like(noise["z"][:, 0])
    for t in range(T):
        u = model.z_g(last).tanh()
        q.append(head(model.q(sum(g[t], start=u) / (1 + len(g[t])))))
        z.append(q[t].sample(noise["z"][:, t]))
        G, H = model.prior.gate(last), model.prior.proposal(last)
        variance = functional.softplus(model.prior.variance(H.relu()))
        p.append(Gaussian((1 - G) * model.prior.mean(last) + G * H, variance.log()))
        x_hat.append(model.out(z[t]))
        last = z[t]
    return output(q, p, z, x_hat)


def rvae(model: RVAE, x: Tensor, noise: Noise) -> Output:
    q, p, z, h = [], [], [], []
    e = [model.x_g(x[:, t]) for t in range(x.shape[1])]
    g_x = reverse(model.rnn_x, e) if model.causal else forth_and_back(model.rnn_x, e)
    state, last = None, torch.zeros_like(noise["z"][:, 0])
    for t in range(x.shape[1]):
        g_z, state = step(model.rnn_z, model.z_g(last), state)
        q.append(head(model.q(torch.cat([g_x[t], g_z], dim=1))))
        last = q[t].sample(noise["z"][:, t])
        z.append(last)
        p.append(Gaussian.standard(last))
    state = None
    for its in z if model.causal else ():
        states, state = step(model.rnn_h, model.z_h(its), state)
        h.append(states)
    h = h if model.causal else forth_and_back(model.rnn_h, [model.z_h(its) for its in z])
    return output(q, p, z, [model.out(its) for its in h])


def vrnn(model: VRNN, x: Tensor, noise: Noise, own: Tensor | None = None) -> Output:
    q, p, z, x_hat = [], [], [], []
    taught_state = fed_state = None
    taught = fed = x.new_zeros(len(x), model.rnn.hidden_size)
    for t in range(x.shape[1]):
        features = model.x_net(x[:, t])
        q.append(head(model.q(torch.cat([features, taught], 1))))
        z.append(q[t].sample(noise["z"][:, t]))
        e = model.z_net(z[t])
        p.append(head(model.p(taught if model.mode == "teacher" else fed)))
        x_hat.append(model.out(torch.cat([e, picks(model, t, taught, fed, own)], 1)))
        last = mean_of(x_hat[t], model.likelihood).detach()
        taught, taught_state = step(model.rnn, torch.cat([e, features], 1), taught_state)
        if model.mode != "teacher":
            fed, fed_state = step(model.rnn, torch.cat([e, model.x_net(last)], 1), fed_state)
    return output(q, p, z, x_hat)


def srnn(model: SRNN, x: Tensor, noise: Noise, own: Tensor | None = None) -> Output:
    q, p, z, x_hat, h = [], [], [], [], []
    state, before = None, torch.zeros_like(x[:, 0])
    for t in range(x.shape[1]):
        taught, state = step(model.rnn_h, model.x_h(before), state)
        h.append(taught)
        before = x[:, t]
    g = reverse(model.rnn_g, [model.hx_g(torch.cat([h[t], x[:, t]], 1)) for t in range(x.shape[1])])
    state, last, code = None, torch.zeros_like(before), torch.zeros_like(noise["z"][:, 0])
    for t in range(x.shape[1]):
        fed = h[t]
        if model.mode != "teacher":
            fed, state = step(model.rnn_h, model.x_h(last), state)
        q.append(head(model.q(torch.cat([g[t], code], 1))))
        p.append(head(model.p(torch.cat([fed, code], 1))))
        code = q[t].sample(noise["z"][:, t])
        z.append(code)
        x_hat.append(model.out(torch.cat([code, picks(model, t, h[t], fed, own)], 1)))
        last = mean_of(x_hat[t], model.likelihood).detach()
    return output(q, p, z, x_hat)


def log_normal(x: Tensor, cov: Tensor) -> Tensor:
    """log N(x; 0, cov) of (B, D)."""
    return MultivariateNormal(torch.zeros_like(x), cov).log_prob(x)


def kvae(model: KVAE, x: Tensor, noise: Noise) -> Output:
    """The bound from innovations only."""
    q, p, a, x_hat, log_p = [], [], [], [], []
    Q, R, P = model.Q, model.R, model.S0.expand(len(x), -1, -1)
    state, last = None, model.systems.a_init.expand(len(x), -1)
    m = x.new_zeros(len(x), model.z_dim)
    for t in range(x.shape[1]):
        q.append(model.head(model.encoder(x[:, t])))
        a.append(q[t].sample(noise["a"][:, t]))
        x_hat.append(model.out(a[t]))
        h, state = step(model.rnn_alpha, last, state)
        weights = model.alpha(h).softmax(1)
        A, B, C = (
            sum(weights[:, k, None, None] * M[k] for k in range(len(M)))
            for M in (model.systems.A, model.systems.B, model.systems.C)
        )
        if t > 0:
            m = torch.einsum("bij,bj->bi", A, m) + torch.einsum("bij,bj->bi", B, last)
            P = A @ P @ A.mT + Q
        S = C @ P @ C.mT + R
        expected = torch.einsum("bij,bj->bi", C, m)
        p.append(Gaussian(expected, S.diagonal(dim1=1, dim2=2).log()))
        log_p.append(log_normal(a[t] - expected, S))
        K = P @ C.mT @ torch.linalg.inv(S)
        m = m + torch.einsum("bij,bj->bi", K, a[t] - expected)
        kept = torch.eye(model.z_dim).to(P) - K @ C
        P = kept @ P @ kept.mT + K @ R @ K.mT
        last = a[t]
    out = output(q, p, a, x_hat, "a")
    return Output(out.q, out.p, out.sample, out.x_hat, {"a": torch.stack(log_p).sum(0)})


NAIVE: dict[str, Callable[..., Output]] = {
    "storn": storn,
    "dkf": dkf,
    "rvae": rvae,
    "vrnn": vrnn,
    "srnn": srnn,
    "kvae": kvae,
}
