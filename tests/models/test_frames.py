import pytest
import torch

from ablate.errors import Mistake
from ablate.models import frames
from ablate.random import initialise


@pytest.mark.parametrize(
    ("frame", "net", "depth", "sides"),
    [
        ((3, 32, 32), frames.SMALL, 3, (4, 4)),
        ((3, 64, 64), frames.SMALL, 4, (4, 4)),
        ((1, 48, 32), frames.SMALL, 3, (6, 4)),
        ((1, 28, 28), frames.SMALL, 2, (7, 7)),
        ((3, 64, 64), frames.PAPER, 4, (8, 8)),
        ((3, 64, 64), frames.ALI, 4, (4, 4)),
        ((257,), frames.ALI, 4, None),
    ],
)
def test_depth_and_last_map(frame, net, depth, sides):
    assert frames.shape_of(frame, net) == (depth, sides)


@pytest.mark.parametrize(
    ("frame", "net", "need"),
    [
        ((3, 33, 32), frames.SMALL, "even and at least 8"),
        ((3, 6, 6), frames.SMALL, "even and at least 8"),
        ((3, 60, 60), frames.PAPER, "a multiple of 8"),
        ((3, 40, 40), frames.ALI, "a multiple of 16"),
    ],
)
def test_pictures_that_do_not_fit_are_the_users_mistake(frame, net, need):
    with pytest.raises(Mistake, match=need):
        frames.encoder(frame, net, 4, 4)


@pytest.mark.parametrize("frame", [(3, 32, 32), (3, 64, 64), (1, 48, 32), (1, 28, 28)])
def test_small_net_reads_and_writes_pictures(frame):
    x = torch.rand(2, 3, *frame)
    assert frames.encoder(frame, frames.SMALL, 6, 5)(x).shape == (2, 3, 5)
    assert frames.decoder(7, frame, frames.SMALL, 6, "linear")(torch.rand(2, 3, 7)).shape == x.shape


@pytest.mark.parametrize(("net", "kernel"), [(frames.PAPER, 5), (frames.ALI, 4)])
def test_published_nets_read_and_write_64_x_64(net, kernel):
    encoder, decoder = frames.encoder((3, 64, 64), net, 4, 5), frames.decoder(7, (3, 64, 64), net, 4, "tanh")
    assert encoder(torch.rand(2, 1, 3, 64, 64)).shape == (2, 1, 5)
    y = decoder(torch.randn(2, 1, 7))
    assert y.shape == (2, 1, 3, 64, 64) and y.abs().max() <= 1
    assert encoder.net[0].kernel_size == (kernel, kernel)


def test_published_layers_lie_where_the_reference_has_them():
    kinds = [type(layer).__name__ for layer in frames.encoder((3, 64, 64), frames.ALI, 4, 5).net]
    block = ["KaimingConv2d", "UnitBatchNorm2d", "LeakyReLU", "Dropout2d"]
    last = ["Flatten", "KaimingLinear", "UnitBatchNorm1d", "LeakyReLU", "Dropout"]
    assert kinds == ["KaimingConv2d", "LeakyReLU", *block, *block, *block, *last]
    kinds = [type(layer).__name__ for layer in frames.decoder(7, (3, 64, 64), frames.PAPER, 4, "tanh").net.net]
    block = ["KaimingConvTranspose2d", "UnitBatchNorm2d", "LeakyReLU"]
    dense = ["KaimingLinear", "LeakyReLU"]
    assert kinds == [*dense, *dense, "Unflatten", *block, *block, *block, "KaimingConvTranspose2d"]


@pytest.mark.parametrize("squash", ["linear", "tanh", "sigmoid"])
def test_small_net_starts_near_the_mean_frame(squash):
    decoder = frames.decoder(7, (3, 16, 16), frames.SMALL, 8, squash)
    initialise(decoder, 0)
    mean = torch.rand(3, 16, 16) * 0.8 + 0.1
    decoder.start_from(mean)
    y = decoder(torch.randn(4, 2, 7))
    assert (y - mean).std() < 0.05  # of pictures in [-1, 1]
    assert y.std(0).max() > 0  # the code already shows


def test_a_decoder_without_mean_frame_does_not_start_from_one():
    decoder = frames.Emission(torch.nn.Linear(2, 3), "linear")
    before = [p.clone() for p in decoder.parameters()]
    decoder.start_from(torch.ones(3))
    assert all(torch.equal(p, q) for p, q in zip(before, decoder.parameters(), strict=True))


def test_squash():
    y = torch.tensor([[[0.5]]])
    net = torch.nn.Identity()
    assert frames.Emission(net, "linear")(y).item() == 0.5
    assert frames.Emission(net, "tanh")(y).item() == pytest.approx(0.46211716)
    assert frames.Emission(net, "sigmoid")(y).item() == pytest.approx(0.62245933)
