import pytest
import torch
from model_cases import CASES, VECTOR, frames, noise
from sameness import assert_learns, parameters_on_meta, reached

from ablate.errors import Mistake
from ablate.models.dsae_lstm import Fed, LSTMCOptions, LSTMFOptions, Started, lstm_c, lstm_f
from ablate.random import initialise
from ablate.registry import MODELS

NAMES = [name for name in CASES if name.startswith("lstm_")]
LENGTH = 6


def meta(make):
    return lambda frame, options: make(frame, options, 20)


def test_parameter_counts_by_hand():
    """Small sizes on 80 bins: x_dim 80, H 32, f 16, z 8, decoder 64, 64."""
    encoder = 2 * 4 * 32 * (80 + 32 + 2)
    heads = (64 + 1) * 2 * 16 + (64 + 1) * 2 * 8
    f_path, c_path = 4 * 8 * (8 + 1), 4 * 32 * (8 + 32 + 2)

    def decoder(h):
        return (16 + h + 1) * 64 + 65 * 64 + 65 * 80

    assert parameters_on_meta(meta(lstm_f), 80, LSTMFOptions()) == 2 * encoder + heads + f_path + decoder(8)
    assert parameters_on_meta(meta(lstm_c), 80, LSTMCOptions()) == 2 * encoder + heads + c_path + decoder(32)
    assert parameters_on_meta(meta(lstm_c), 80, LSTMCOptions(rnn_h=8)) - parameters_on_meta(
        meta(lstm_f), 80, LSTMFOptions()
    ) == 4 * 8 * (8 + 1)  # z's weights and the second bias


def cell(gates, c):
    i, f, g, o = gates.chunk(4, dim=1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def test_lstm_f_starts_at_z_and_reads_nothing():
    path = Started(3).double()
    initialise(path, 0)
    z = torch.randn(2, 3, dtype=torch.float64)
    h, c, states = z, torch.zeros_like(z), []
    for _ in range(LENGTH):
        h, c = cell(h @ path.lstm.weight_hh_l0.T + path.lstm.weight_ih_l0[:, 0], c)
        states.append(h)
    assert torch.allclose(path(z, LENGTH), torch.stack(states, 1), atol=1e-12)


def test_lstm_c_is_fed_z_at_every_frame():
    path = Fed(3, 5).double()
    initialise(path, 0)
    z = torch.randn(2, 3, dtype=torch.float64)
    h, c, states = z.new_zeros(2, 5), z.new_zeros(2, 5), []
    lstm = path.lstm
    for _ in range(LENGTH):
        gates = z @ lstm.weight_ih_l0.T + lstm.bias_ih_l0 + h @ lstm.weight_hh_l0.T + lstm.bias_hh_l0
        h, c = cell(gates, c)
        states.append(h)
    assert torch.allclose(path(z, LENGTH), torch.stack(states, 1), atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_dependence(name):
    case = CASES[name]
    model, x = case.build(), frames(case, B=2, T=LENGTH).requires_grad_()
    out = model(x, noise(model, x))
    for key in ("f", "z"):
        assert reached(out.q[key].mean, x) == reached(out.q[key].logvar, x) == list(range(LENGTH))
        assert not out.p[key].mean.any() and not out.p[key].mean.requires_grad
    f, z = torch.randn(2, 1, model.f_dim).requires_grad_(), torch.randn(2, 1, model.z_dim).requires_grad_()
    x_hat = model.decode({"f": f[:, 0], "z": z}, LENGTH)
    assert all(reached(x_hat[:, t], f) == reached(x_hat[:, t], z) == [0] for t in range(LENGTH))
    assert torch.equal(model.encode_static(x).mean, out.q["f"].mean)


@pytest.mark.parametrize("name", NAMES)
def test_frames_to_come_are_more_steps_of_the_same_path(name):
    model, x = CASES[name].build(), frames(CASES[name])
    _, sample = model.encode(x, None)
    assert model.decode(sample).shape[1] == CASES[name].length
    longer = model.decode(sample, 7)
    assert longer.shape[1] == 7 and torch.allclose(longer[:, :3], model(x, None).x_hat, atol=1e-6)
    assert not torch.allclose(longer[:, 3:6], longer[:, :3])  # they move on


@pytest.mark.parametrize("name", NAMES)
def test_swapped_codes_decode_sequence_by_sequence(name):
    model, x = CASES[name].build(), frames(CASES[name])
    _, codes = model.encode(x, None)
    swapped = model.decode({"f": codes["f"].flip(0), "z": codes["z"]})
    one = model.decode({"f": codes["f"][3:], "z": codes["z"][:1]})
    assert torch.allclose(swapped[:1], one, atol=1e-6) and not torch.allclose(swapped, model.decode(codes))


@pytest.mark.long
@pytest.mark.parametrize("name", ["lstm_f", "lstm_c"])
def test_explains_eight_sequences(name):
    assert_learns(name, 300, 0.005, bar=name == "lstm_c")  # lstm_f has eight numbers for ten frames: about equal


def test_prior_samples_are_the_noise_and_last():
    model, eps = CASES["lstm_f"].build(), torch.randn(2, 6, 3)
    assert torch.equal(model.sample_prior(eps), eps[:, :1])
    assert torch.equal(model.sample_prior(eps, start=eps[:, 3:4]), eps[:, 3:4])


@pytest.mark.parametrize(("make", "options"), [(lstm_f, LSTMFOptions), (lstm_c, LSTMCOptions)])
def test_presets_are_those_of_dsae(make, options):
    its = {"hidden": 5, "channels": 2, "feature": 6, "z_dim": 3, "f_dim": 4}
    model = make((12,), options("ali_audio", **its), 20).train()
    x = torch.rand(2, 3, 12)
    x_hat = model(x, noise(model, x)).x_hat
    assert x_hat.min() >= 0 and x_hat.max() <= 1 and model.q_f.dropout.p == 0.5
    entry = MODELS[make.__name__]
    assert [entry.meta["workers_matter"](options(preset)) for preset in ("small", "ali_video")] == [False, True]


@pytest.mark.parametrize("name", ["lstm_f", "lstm_c"])
def test_frames_that_a_preset_cannot_read_are_the_users_mistake(name):
    entry = MODELS[name]
    with pytest.raises(Mistake, match=f"model {name} with preset paper takes frames that are pictures"):
        entry.make(VECTOR, entry.options("paper"), 20)
    with pytest.raises(Mistake, match=r"built for frames of shape \(5,\), the data have \(4,\)"):
        CASES[name].build()(torch.rand(2, 3, 4), None)
