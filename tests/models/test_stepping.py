import pytest
import torch
from torch import nn

from ablate.models.stepping import Cell, Chain, backward, gaussian, silence
from ablate.types import LOGVAR_MAX, LOGVAR_MIN


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64)


@pytest.mark.parametrize("widths", [(), (4,), (4, 6)])
def test_a_chain_in_parts_is_the_whole_chain(widths):
    net = Chain(5, widths, 3).double()
    u, s = normal(2, 7, 2), normal(2, 3)
    whole = net(torch.cat([u[:, 4], s], dim=1))
    first = torch.addmm(net.ahead(u)[:, 4], s, net.columns(2))
    assert torch.allclose(net.rest(first), whole, atol=1e-12)
    turned = torch.addmm(net.ahead(u, start=3)[:, 4], s, net.columns(0, 3))
    assert torch.allclose(net.rest(turned), net(torch.cat([s, u[:, 4]], dim=1)), atol=1e-12)


def test_a_chain_is_linear_tanh_and_a_last_linear():
    net = Chain(2, (3,), 4)
    x = torch.randn(5, 2)
    first, (last,) = net.first, net.later
    by_hand = (x @ first.weight.T + first.bias).tanh() @ last.weight.T + last.bias
    assert torch.allclose(net(x), by_hand, atol=1e-6)


def test_a_stepped_cell_is_the_lstm():
    lstm = nn.LSTM(5, 4, batch_first=True).double()
    x, cell = normal(3, 6, 5), Cell(lstm)
    h, c = cell.start(x)
    states = []
    for known, rest in zip(cell.ahead(x[..., :2]).unbind(1), x[..., 2:].unbind(1), strict=True):
        h, c = cell.step(known, rest, cell.columns(2), h, c)
        states.append(h)
    assert torch.allclose(torch.stack(states, 1), lstm(x)[0], atol=1e-12)


def test_backward_reads_from_the_end():
    lstm, x = nn.LSTM(2, 3, batch_first=True), torch.randn(2, 5, 2)
    both = nn.LSTM(2, 3, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(both, f"{kind}_l0_reverse").copy_(getattr(lstm, f"{kind}_l0"))
    assert torch.allclose(backward(lstm, x), both(x)[0][..., 3:], atol=1e-6)


def test_gaussian_clamps_the_log_variance_only():
    q = gaussian(torch.tensor([[-100.0, 100.0, -100.0, 100.0]]))
    assert q.mean.tolist() == [[-100, 100]] and q.logvar.tolist() == [[LOGVAR_MIN, LOGVAR_MAX]]


def test_without_noise_there_are_zeros():
    x, eps = torch.ones(2, 3, 5, dtype=torch.float64), torch.ones(2, 3, 4)
    assert silence({"z": eps}, x, "z", 4) is eps
    none = silence(None, x, "z", 4)
    assert none.shape == (2, 3, 4) and none.dtype == torch.float64 and not none.any()
