import pytest
import torch
from model_cases import CASES, VECTOR, frames, noise
from sameness import assert_learns
from torch import nn

from ablate.errors import Mistake
from ablate.losses.kl_f import kl_f
from ablate.losses.kl_z import KLOptions
from ablate.models.dsae import DSAE, DSAEOptions, Sizes
from ablate.random import initialise
from ablate.registry import MODELS

D = DSAEOptions
LENGTH = 6
NAMES = [name for name in CASES if name.startswith("dsae")]


def meta(frame, options):
    with torch.device("meta"):
        return DSAE(frame, options)


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("frame", "options", "parameters"),
    [
        ((257,), D("speech"), 1_060_161),
        ((513,), D("speech"), 1_650_241),
        ((96,), D("motion"), 217_084),
        ((257,), D("interspeech"), 1_084_705),
        ((80,), D("ali_speech"), 542_000),
        ((3, 64, 64), D("paper", reference_output=True), 178_231_689),
        ((3, 64, 64), D("paper"), 178_231_683),
        ((3, 64, 64), D("paper", inference="factorised", reference_output=True), 166_950_793),
        ((3, 64, 64), D("ali_video", prior="normal"), 24_736_707),
        ((3, 64, 64), D("ali_video"), 25_887_747),
        ((3, 64, 64), D("ali_video", inference="factorised", prior="normal"), 17_912_259),
        ((3, 64, 64), D("ali_video", inference="factorised"), 19_063_299),
        ((257,), D("ali_audio", prior="normal"), 14_633_409),
        ((257,), D("ali_audio"), 15_784_449),
        ((257,), D("ali_audio", inference="factorised", prior="normal"), 7_808_961),
        ((257,), D("ali_audio", inference="factorised"), 8_960_001),
    ],
)
def test_published_parameter_counts(frame, options, parameters):
    assert count(meta(frame, options)) == parameters


def test_published_parameter_counts_part_by_part():
    model = meta((513,), D("speech"))
    parts = [
        model.f_rnn,
        model.f_head,
        model.q_z.lstm,
        model.q_z.rnn,
        model.q_z.head,
        model.prior.lstm,
        model.prior.head,
    ]
    assert [count(part) for part in parts] == [658_432, 2 * 4_112, 674_816, 49_408, 2 * 2_064, 74_752, 2 * 2_064]
    assert count(model.decoder) == 44_512 + 131_841


def test_sizes_are_the_presets_unless_given():
    assert D().sizes() == Sizes(z_dim=8, f_dim=16, hidden=32, decoder=(64, 64))
    speech = D("speech", z_dim=4, decoder=()).sizes()
    assert (speech.z_dim, speech.f_dim, speech.hidden, speech.decoder) == (4, 16, 128, ())


def test_options_that_contradict_each_other():
    with pytest.raises(ValueError, match="reference_output belongs to preset paper"):
        D("small", reference_output=True)


@pytest.mark.parametrize(
    ("frame", "preset", "says"),
    [
        ((80,), "paper", r"preset paper takes frames that are pictures, not of shape \(80,\)"),
        ((3, 64, 64), "speech", "preset speech takes frames that are vectors"),
        ((8, 8), "small", r"vectors \(D\) or pictures \(C, H, W\)"),
    ],
)
def test_frames_that_a_preset_cannot_read_are_the_users_mistake(frame, preset, says):
    with pytest.raises(Mistake, match=says):
        DSAE(frame, D(preset))


@pytest.mark.parametrize("channels", [16, 32])
@pytest.mark.parametrize("side", [32, 64])
def test_small_picture_net(side, channels):
    model = DSAE((3, side, side), D(channels=channels)).eval()
    assert model(torch.rand(2, 3, 3, side, side), None).x_hat.shape == (2, 3, 3, side, side)


@pytest.mark.parametrize(
    ("options", "frame", "bounds"),
    [
        (D("ali_audio", hidden=5, channels=4, feature=6), (12,), (0, 1)),
        (D("ali_audio", hidden=5, channels=4, feature=6, output="tanh"), (12,), (-1, 1)),
        (D("ali_video", hidden=5, channels=2, feature=6), (3, 64, 64), (-1, 1)),
        (D("paper", hidden=5, channels=1, feature=6, f_dim=4, reference_output=True), (3, 64, 64), (-1, 1)),
        (D("interspeech"), (9,), (-1e9, 1e9)),
    ],
)
def test_published_nets_run(options, frame, bounds):
    model = DSAE(frame, options)
    initialise(model, 0)
    x = torch.rand(2, 3, *frame)
    out = model.train()(x, noise(model, x))
    out.x_hat.sum().backward()
    assert out.x_hat.shape == x.shape and out.x_hat.min() >= bounds[0] and out.x_hat.max() <= bounds[1]
    model.eval()
    assert torch.equal(model(x, None).x_hat, model(x, None).x_hat)  # no dropout
    together, alone = model(x, None).x_hat[:1], model(x[:1], None).x_hat  # no batch statistics
    assert torch.allclose(together, alone, atol=1e-5)


def reached(y, leaf):
    """Frames of `leaf` (B, T, ...) that y has a gradient to."""
    (gradient,) = torch.autograd.grad((y * torch.randn_like(y)).sum(), leaf, retain_graph=True, allow_unused=True)
    return [] if gradient is None else [t for t in range(leaf.shape[1]) if gradient[:, t].any()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("t", [0, 3, 5])
def test_dependence(name, t):
    case = CASES[name]
    model, everything = case.build(), list(range(LENGTH))
    x = frames(case, B=2, T=LENGTH).requires_grad_()
    f = torch.randn(2, 1, model.f_dim).requires_grad_()  # as one frame, so that `reached` reads it
    z = torch.randn(2, LENGTH, model.z_dim).requires_grad_()
    full = case.options.inference == "full"

    q = model.q_z(model.encoder(x), f[:, 0], model.dropout)
    for y in (q.mean[:, t], q.logvar[:, t]):
        assert reached(y, x) == (everything if full else [t])
        assert reached(y, f) == ([0] if full else [])
    assert reached(model.encode(x, noise(model, x))[0]["z"].mean[:, t], x) == (everything if full else [t])

    p = model.prior_z(z)
    for y in (p.mean[:, t], p.logvar[:, t]):
        assert (reached(y, z) if y.requires_grad else []) == ([] if case.options.prior == "normal" else everything[:t])
    assert model(x, None).p["f"].mean.requires_grad is False

    x_hat = model.decode({"f": f[:, 0], "z": z})[:, t]
    assert reached(x_hat, f) == [0] and reached(x_hat, z) == [t]


@pytest.mark.parametrize("name", NAMES)
def test_static_code_sees_every_frame(name):
    model, x = CASES[name].build(), frames(CASES[name], B=2, T=LENGTH).requires_grad_()
    q = model.encode_static(x)
    assert reached(q.mean, x) == reached(q.logvar, x) == list(range(LENGTH))
    assert torch.equal(q.mean, model.encode(x, None)[0]["f"].mean)


def test_the_prior_does_not_see_the_data_but_for_the_path():
    model, x = CASES["dsae"].build(), frames(CASES["dsae"])
    out = model(x, noise(model, x))
    assert torch.equal(out.p["z"].mean, model.prior_z(out.sample["z"]).mean)
    assert torch.equal(out.p["z"].mean[0, 0], out.p["z"].mean[1, 0])  # the same for all sequences at t = 1


def lstm_steps(lstm: nn.LSTM, x: torch.Tensor, suffix: str = "") -> list[torch.Tensor]:
    """One direction of an LSTM, written out step by step."""
    weight_x, weight_h, bias_x, bias_h = (
        getattr(lstm, f"{kind}_l0{suffix}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    h = c = x.new_zeros(len(x), lstm.hidden_size)
    states = []
    times = range(x.shape[1])
    for t in reversed(times) if suffix else times:
        gates = x[:, t] @ weight_x.T + bias_x + h @ weight_h.T + bias_h
        i, forget, g, o = gates.chunk(4, dim=1)
        c = forget.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return states[::-1] if suffix else states


def naive(model: DSAE, x: torch.Tensor, eps: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Means and log-variances of q and p, samples and outputs, frame by frame from the equations."""
    frame = [model.encoder(x[:, t : t + 1])[:, 0] for t in range(x.shape[1])]
    e = torch.stack(frame, dim=1)
    last = torch.cat([lstm_steps(model.f_rnn, e)[-1], lstm_steps(model.f_rnn, e, "_reverse")[0]], dim=1)
    q_f = model.f_head(model.f_dense(last))
    f = q_f.mean + (q_f.logvar / 2).exp() * eps["f"]
    mean, logvar, z = [], [], []
    if isinstance(getattr(model.q_z, "rnn", None), nn.RNN):
        rnn, inner = model.q_z.rnn, torch.stack([model.q_z.dense_in(torch.cat([h, f], dim=1)) for h in frame], dim=1)
        both = zip(lstm_steps(model.q_z.lstm, inner), lstm_steps(model.q_z.lstm, inner, "_reverse"), strict=True)
        g, heads = x.new_zeros(len(x), rnn.hidden_size), []
        for states in both:
            u = model.q_z.dense_out(torch.cat(states, dim=1))
            g = (u @ rnn.weight_ih_l0.T + rnn.bias_ih_l0 + g @ rnn.weight_hh_l0.T + rnn.bias_hh_l0).tanh()
            heads.append(model.q_z.head(g))
    else:
        heads = [model.q_z.head(model.q_z.net(h)) for h in frame]
    for t, q in enumerate(heads):
        mean.append(q.mean)
        logvar.append(q.logvar)
        z.append(q.mean + (q.logvar / 2).exp() * eps["z"][:, t])
    results = [q_f.mean, q_f.logvar, torch.stack(mean, 1), torch.stack(logvar, 1), f, torch.stack(z, 1)]
    if model.prior is not None:
        before = torch.stack([torch.zeros_like(z[0]), *z[:-1]], dim=1)
        p = [model.prior.head(h) for h in lstm_steps(model.prior.lstm, before)]
        results += [torch.stack([its.mean for its in p], 1), torch.stack([its.logvar for its in p], 1)]
    outputs = [model.decode({"f": f, "z": its.unsqueeze(1)})[:, 0] for its in z]
    return [*results, torch.stack(outputs, 1)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_equals_the_naive_frame_by_frame_model_gradients_included(name, dtype, tolerance):
    model, x = CASES[name].build(dtype=dtype), frames(CASES[name], T=5, dtype=dtype)
    eps = noise(model, x)
    out = model(x, eps)
    ours = [its for key in ("f", "z") for its in (out.q[key].mean, out.q[key].logvar)] + [
        out.sample["f"],
        out.sample["z"],
    ]
    ours += [out.p["z"].mean, out.p["z"].logvar] if model.prior is not None else []
    ours.append(out.x_hat)
    theirs = naive(model, x, eps)
    gradients = []
    for results in (ours, theirs):
        assert len(results) == len(theirs)
        total = sum((its**2).mean() for its in results)
        gradients.append(torch.autograd.grad(total, list(model.parameters())))
    for a, b in zip([*ours, *gradients[0]], [*theirs, *gradients[1]], strict=True):
        assert torch.allclose(a, b, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_rolled_prior_is_the_prior_of_its_own_path(name):
    model = CASES[name].build(dtype=torch.float64)
    eps = torch.randn(2, 5, model.z_dim, dtype=torch.float64)
    z = model.sample_prior(eps)
    assert torch.allclose(model.prior_z(z).sample(eps), z, atol=1e-12)
    later = torch.randn(2, 3, model.z_dim, dtype=torch.float64)
    path = torch.cat([z, model.sample_prior(later, start=z)], dim=1)
    assert torch.allclose(model.prior_z(path).sample(torch.cat([eps, later], dim=1)), path, atol=1e-12)


def test_swapped_codes_decode_sequence_by_sequence():
    model, x = CASES["dsae"].build(), frames(CASES["dsae"])
    _, codes = model.encode(x, None)
    swapped = model.decode({"f": codes["f"].flip(0), "z": codes["z"]})
    one = model.decode({"f": codes["f"][3:], "z": codes["z"][:1]})
    assert torch.allclose(swapped[:1], one, atol=1e-6)
    assert not torch.allclose(swapped, model.decode(codes))


def test_kl_of_equal_distributions_is_zero():
    model, x = CASES["dsae"].build(), frames(CASES["dsae"])
    out = model(x, None)
    assert not (out.q["z"].kl(out.q["z"])).any()
    assert (out.q["z"].kl(out.p["z"]) >= 0).all() and (kl_f(model, None, out, options=KLOptions()) >= 0).all()


def test_registered_with_its_latents():
    entry = MODELS["dsae"]
    assert entry.make is DSAE and entry.meta["latents"] == DSAE.latents and entry.meta["decoder"]
    assert [entry.meta["workers_matter"](D(preset)) for preset in ("small", "speech", "paper")] == [False, False, True]
    assert DSAE(VECTOR, D("tiny")).noise_shapes(7) == {"f": (4,), "z": (7, 3)}


@pytest.mark.long
@pytest.mark.parametrize("inference", ["full", "factorised"])
def test_explains_eight_sequences(inference):
    assert_learns("dsae", 300, 0.005, inference=inference)
