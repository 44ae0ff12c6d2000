"""PNG pictures: the same bytes for the same arrays, sizes that fit the content, nothing cut off."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ablate import pictures

RNG = np.random.default_rng(0)
SPEECH = RNG.normal(size=(3, 10, 12))
CLIPS = RNG.uniform(size=(3, 6, 3, 8, 8))


def swaps(x: np.ndarray) -> np.ndarray:
    return (x[:, None] + x[None]) / 2


def pixels(png: bytes) -> np.ndarray:
    """The picture, (H, W, 3 or 4) in 0..255."""
    from matplotlib import image

    return np.round(image.imread(io.BytesIO(png)) * 255)


def chunks(png: bytes) -> list[bytes]:
    """Types of the chunks of a PNG; checks their sums."""
    found, at = [], 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        body = png[at + 4 : at + 8 + size]
        assert zlib.crc32(body) == struct.unpack(">I", png[at + 8 + size : at + 12 + size])[0]
        found.append(body[:4])
        at += 12 + size
    return found


@pytest.mark.parametrize("x", [SPEECH, CLIPS], ids=["speech", "clips"])
def test_the_same_arrays_give_the_same_bytes(x: np.ndarray) -> None:
    for draw in (lambda: pictures.reconstructions(x, x / 2), lambda: pictures.swap_grid(x, swaps(x))):
        png = draw()
        assert png == draw() and png.startswith(b"\x89PNG")
        assert b"tEXt" not in chunks(png) and b"tIME" not in chunks(png)


def test_the_users_settings_do_not_matter() -> None:
    import matplotlib

    png = pictures.reconstructions(SPEECH, SPEECH)
    with matplotlib.rc_context({"font.size": 30, "savefig.dpi": 30, "image.cmap": "gray"}):
        assert pictures.reconstructions(SPEECH, SPEECH) == png


@pytest.mark.parametrize("names", [[], ["a", "b", "c"], ["a very long name of an utterance/000000001.flac"] * 3])
@pytest.mark.parametrize("x", [SPEECH, CLIPS], ids=["speech", "clips"])
def test_nothing_touches_the_edge(x: np.ndarray, names: list[str]) -> None:
    for png in (
        pictures.reconstructions(x, x, names, frame_ms=20),
        pictures.swap_grid(x, swaps(x), names, frame_ms=20),
    ):
        picture = pixels(png)[..., :3]
        border = np.concatenate([picture[:4].reshape(-1, 3), picture[-4:].reshape(-1, 3)])
        sides = np.concatenate([picture[:, :4].reshape(-1, 3), picture[:, -4:].reshape(-1, 3)])
        assert (border == 255).all() and (sides == 255).all()


def test_a_clip_is_shown_in_its_own_colours() -> None:
    red = np.zeros((1, 2, 3, 4, 4))
    red[:, :, 0] = 1
    picture = pixels(pictures.reconstructions(red, red * 0))[..., :3]
    assert (picture == [255, 0, 0]).all(axis=-1).mean() > 0.25
    assert (picture == [0, 0, 0]).all(axis=-1).mean() > 0.25


def test_grey_clips_and_values_out_of_range() -> None:
    grey = np.full((2, 3, 1, 4, 4), 1.5)
    assert pictures.reconstructions(grey, grey) == pictures.reconstructions(np.ones_like(grey), np.ones_like(grey))


def test_a_constant_spectrogram_and_a_single_sequence() -> None:
    still = np.zeros((1, 5, 4))
    assert len(chunks(pictures.reconstructions(still, still))) >= 3
    assert len(chunks(pictures.swap_grid(still, still[None]))) >= 3


def test_an_animation_holds_its_clips_frame_by_frame() -> None:
    """Two clips of 2 x 2 pixels side by side, a white line between them, every pixel 64 times as large."""
    x = np.zeros((2, 3, 3, 2, 2))
    x[0, 1, 0] = 1  # the second frame of the first clip is red
    x[1, 2, 2] = 1  # the third of the second is blue
    film = Image.open(io.BytesIO(pictures.animation(x)))
    assert (film.n_frames, film.size) == (3, (5 * 64, 2 * 64)) and film.info["loop"] == 0  # type: ignore[attr-defined]
    seen = []
    for frame in range(3):
        film.seek(frame)
        its = film.convert("RGB")
        seen.append([its.getpixel(at) for at in ((10, 10), (2 * 64 + 30, 10), (3 * 64 + 10, 100))])
    black, white = (0, 0, 0), (255, 255, 255)
    assert seen == [[black, white, black], [(255, 0, 0), white, black], [black, white, (0, 0, 255)]]


def test_a_gallery_of_spectrograms_and_of_clips() -> None:
    rng = np.random.default_rng(0)
    for x in (rng.normal(size=(3, 10, 8)), rng.random((3, 4, 3, 8, 8))):
        one = pictures.gallery(x, ["a", "b", "c"], title="made", marked=2)
        assert one == pictures.gallery(x, ["a", "b", "c"], title="made", marked=2)
        assert one != pictures.gallery(x, ["a", "b", "c"], title="made")
        assert Image.open(io.BytesIO(one)).size[1] > 100
