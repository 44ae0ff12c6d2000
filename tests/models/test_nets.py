import math

import pytest
import torch
from torch import nn

from ablate.errors import Mistake
from ablate.models import nets
from ablate.types import LOGVAR_MAX, LOGVAR_MIN


def test_dense_is_linear_then_tanh_and_an_empty_list_is_the_identity():
    net, width = nets.dense(2, (3, 4))
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    by_hand = (((x @ net[0].weight.T + net[0].bias).tanh()) @ net[2].weight.T + net[2].bias).tanh()
    assert width == 4 and torch.allclose(net(x), by_hand, atol=1e-6)
    net, width = nets.dense(2, ())
    assert width == 2 and torch.equal(net(x), x)


def test_head_clamps_the_log_variance_only():
    head = nets.GaussianHead(1, 2)
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.copy_(torch.tensor([-100.0, 100.0, -100.0, 100.0]))
    q = head(torch.zeros(3, 1))
    assert q.mean.tolist() == [[-100, 100]] * 3
    assert q.logvar.tolist() == [[LOGVAR_MIN, LOGVAR_MAX]] * 3


def test_ends_are_the_states_that_have_read_the_whole_sequence():
    lstm = nn.LSTM(2, 3, batch_first=True, bidirectional=True)
    x = torch.randn(4, 5, 2)
    out, _ = lstm(x)
    assert torch.allclose(nets.ends(lstm, x), torch.cat([out[:, -1, :3], out[:, 0, 3:]], dim=-1))


def test_shift_puts_the_previous_frame_in_place_and_zero_first():
    z = torch.tensor([[[1.0], [2.0], [3.0]]])
    assert nets.shift(z).tolist() == [[[0], [1], [2]]]
    assert nets.shift(z[:, :1]).tolist() == [[[0]]]


def test_spread_repeats_the_static_code():
    assert nets.spread(torch.tensor([[1.0, 2.0]]), 3).tolist() == [[[1, 2], [1, 2], [1, 2]]]


def test_other_frames_are_the_users_mistake():
    with pytest.raises(Mistake, match=r"built for frames of shape \(80,\), the data have \(40,\)"):
        nets.check_frames(torch.zeros(2, 3, 40), (80,))


@pytest.mark.parametrize(
    ("layer", "sd"),
    [
        (nets.KaimingLinear(400, 300), math.sqrt(2 / 400)),
        (nets.KaimingConv2d(30, 40, 5), math.sqrt(2 / (30 * 25))),
        (nets.KaimingConvTranspose2d(40, 30, 5), math.sqrt(2 / (30 * 25))),
        (nets.XavierLinear(400, 300), math.sqrt(2 / 700)),
        (nets.XavierConvTranspose2d(40, 30, 5), 5 / 3 * math.sqrt(2 / ((30 + 40) * 25))),
        (nets.QuietConvTranspose2d(40, 30, 5), 0.1 / math.sqrt(3 * 30 * 25)),
    ],
)
def test_starts(layer, sd):
    torch.manual_seed(0)
    layer.reset_parameters()
    assert layer.weight.std().item() == pytest.approx(sd, rel=0.03)


def test_lstm_with_open_forget_gates():
    """Gates are input, forget, cell, output; the bound is that of one matrix from [input, state] to all of them."""
    torch.manual_seed(0)
    lstm = nets.XavierLSTM(30, 50, 2)
    for layer, width in ((0, 30), (1, 50)):
        sd = math.sqrt(2 / (width + 50 + 200))
        for weight in (getattr(lstm, f"weight_ih_l{layer}"), getattr(lstm, f"weight_hh_l{layer}")):
            assert weight.std().item() == pytest.approx(sd, rel=0.03)
        bias = getattr(lstm, f"bias_ih_l{layer}") + getattr(lstm, f"bias_hh_l{layer}")
        assert bias.tolist() == [0.0] * 50 + [1.0] * 50 + [0.0] * 100


def test_unit_batch_norm_starts_at_one():
    for norm in (nets.UnitBatchNorm1d(3), nets.UnitBatchNorm2d(3)):
        assert norm.weight.tolist() == norm.bias.tolist() == [1, 1, 1]
