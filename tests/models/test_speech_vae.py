import pytest
import torch
from model_cases import CASES, Case, frames, noise
from sameness import assert_learns, parameters_on_meta, reached
from torch import nn

from ablate.errors import Mistake
from ablate.models.speech_vae import Gated, SpeechVAE, SpeechVAEOptions, draws_per_worker
from ablate.random import initialise

Options = SpeechVAEOptions
NETS = ["mlp", "conv", "gated_conv", "lstm"]
NAMES = [name for name in CASES if name.startswith("speech_vae")]


def published(net, **more):
    return Options("ali", net, reference_output=net != "lstm", **more)


def meta(window):
    return lambda frame, options: SpeechVAE(frame, options, window)


@pytest.mark.parametrize(
    ("net", "count"), [("mlp", 34_570_192), ("conv", 1_358_082), ("gated_conv", 1_618_758), ("lstm", 6_643_856)]
)
def test_published_parameter_counts(net, count):
    assert parameters_on_meta(meta(19), 80, published(net)) == count


@pytest.mark.parametrize(
    ("net", "more"),
    [
        ("mlp", -2 * 1520),  # no normalisation of 1520 numbers
        ("conv", -2 + 1),  # none of the one channel, whose convolution has a bias instead
        ("gated_conv", -2 * 2 - (80 * 64 + 1)),  # and no gate
    ],
)
def test_a_linear_output_has_so_many_more(net, more):
    published_count = parameters_on_meta(meta(19), 80, published(net))
    assert parameters_on_meta(meta(19), 80, Options("ali", net)) == published_count + more


@pytest.mark.parametrize("net", ["conv", "gated_conv"])
@pytest.mark.parametrize(("length", "last"), [(1, 1), (3, 1), (7, 1), (8, 2), (11, 2), (19, 4), (20, 5), (23, 5)])
def test_convolutions_are_padded_to_fit_any_length(net, length, last):
    model = SpeechVAE((5,), Options(net=net, channels=(3, 4, 6), dense=(7,)), length)
    x = torch.rand(2, length, 5).requires_grad_()
    out = model(x, None)
    assert model.encoder[-2].in_features == 6 * last and out.x_hat.shape == x.shape
    assert reached(out.q["z"].mean[:, 0], x) == list(range(length))
    z = torch.randn(2, 1, model.z_dim).requires_grad_()
    assert all(reached(model.decode({"z": z})[:, t], z) == [0] for t in range(length))


@pytest.mark.parametrize("name", NAMES)
def test_dependence(name):
    case = CASES[name]
    model, x = case.build(), frames(case, B=2).requires_grad_()
    out = model(x, noise(model, x))
    everything = list(range(x.shape[1]))
    assert reached(out.q["z"].mean, x) == reached(out.q["z"].logvar, x) == everything
    assert not out.p["z"].mean.any() and not out.p["z"].mean.requires_grad
    z = torch.randn(2, 1, model.z_dim).requires_grad_()
    assert [reached(model.decode({"z": z})[:, t], z) for t in everything] == [[0]] * len(everything)


def test_states_of_both_layers_make_the_code():
    """The stacked LSTM as two of one layer: what the encoder gives are their last states."""
    model = CASES["speech_vae"].build(dtype=torch.float64)
    x = frames(CASES["speech_vae"], T=4, dtype=torch.float64)
    lstm, given, last = model.encoder.lstm, x, []
    for layer in range(2):
        one = nn.LSTM(given.shape[-1], lstm.hidden_size, batch_first=True).double()
        its = {f"{kind}_l0": getattr(lstm, f"{kind}_l{layer}") for kind in ("weight_ih", "weight_hh")}
        its |= {f"{kind}_l0": getattr(lstm, f"{kind}_l{layer}") for kind in ("bias_ih", "bias_hh")}
        given, _ = torch.func.functional_call(one, its, (given,))
        last.append(given[:, -1])
    assert torch.allclose(model.encoder(x), torch.cat(last, dim=1), atol=1e-12)


def test_a_gate_by_hand():
    value, gate = nn.Linear(1, 1), nn.Linear(1, 1)
    for layer, weight, bias in ((value, 2.0, 1.0), (gate, 0.0, 0.0)):
        nn.init.constant_(layer.weight, weight)
        nn.init.constant_(layer.bias, bias)
    assert torch.equal(Gated(value, gate)(torch.tensor([[3.0]])), torch.tensor([[3.5]]))  # (2 * 3 + 1) / 2


@pytest.mark.parametrize("net", NETS)
def test_published_nets_train_and_evaluate_row_by_row(net):
    sizes = {"widths": (9, 7), "channels": (3, 4, 6), "dense": (7,), "hidden": 5, "z_dim": 3}
    model = SpeechVAE((5,), published(net, dropout=0.5, **sizes), 19)
    initialise(model, 0)
    x = torch.rand(4, 19, 5)
    model.train()(x, noise(model, x)).x_hat.sum().backward()
    model.eval()
    assert torch.allclose(model(x, None).x_hat[:1], model(x[:1], None).x_hat, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("net", NETS)
def test_explains_eight_sequences(net):
    assert_learns("speech_vae", 300, 0.005, net=net)


def test_the_recurrent_net_takes_any_length():
    model = CASES["speech_vae"].build()
    z = {"z": torch.randn(2, 1, model.z_dim)}
    assert model.decode(z).shape[1] == CASES["speech_vae"].length
    assert torch.allclose(model.decode(z, 9)[:, :4], model.decode(z, 4), atol=1e-6)


def test_prior_samples_are_the_noise_and_last():
    model, eps = CASES["speech_vae"].build(), torch.randn(2, 6, 3)
    assert torch.equal(model.sample_prior(eps), eps[:, :1])
    assert torch.equal(model.sample_prior(eps, start=eps[:, 3:4]), eps[:, 3:4])


def test_bad_input_is_the_users_mistake():
    with pytest.raises(
        Mistake, match=r"model speech_vae takes frames that are vectors \(D\), not of shape \(3, 8, 8\)"
    ):
        SpeechVAE((3, 8, 8), Options(), 20)
    model = SpeechVAE((5,), Options("ali", "conv", channels=(3,), dense=()), 6).train()
    with pytest.raises(Mistake, match=r"built for segments of 6 frames, not 7: give data\.window that length"):
        model(torch.rand(2, 7, 5), None)
    with pytest.raises(Mistake, match=r"frames of shape \(5,\), the data have \(4,\)"):
        model(torch.rand(2, 6, 4), None)
    with pytest.raises(Mistake, match=r"needs 2 sequences per worker: raise train\.batch_size"):
        model(torch.rand(1, 6, 5), None)
    assert model.eval()(torch.rand(1, 6, 5), None).x_hat.shape == (1, 6, 5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"channels": ()}, "channels must name at least one layer"),
        ({"net": "lstm", "reference_output": True}, "reference_output belongs to the nets mlp, conv and gated_conv"),
    ],
)
def test_options_that_contradict_each_other(options, says):
    with pytest.raises(ValueError, match=says):
        Options(**options)


def test_which_nets_the_number_of_workers_matters_to():
    asked = [
        Options(),
        Options("ali"),
        Options("ali", "lstm"),
        Options("ali", norm=False),
        Options(dropout=0.1),
        Options(net="lstm", dropout=0.1),
    ]
    assert [draws_per_worker(its) for its in asked] == [False, True, False, False, True, False]


def test_lists_may_be_empty():
    for net in ("mlp", "conv"):
        case = Case("speech_vae", Options(net=net, widths=(), channels=(3,), dense=()), length=4)
        assert case.build()(torch.rand(2, 4, 5), None).x_hat.shape == (2, 4, 5)
