"""What each mode makes of each model: shapes, streams of noise, codes mixed by hand, predictions that see no future."""

import numpy as np
import pytest
import torch
from model_cases import CASES, frames

from ablate.errors import Mistake
from ablate.generation.modes import GRIDS, MODES, Made, Maker, make, mode_of
from ablate.metrics.evaluate import decode, encode
from ablate.metrics.pictures import swappable

PAIRS = [(case, mode) for case, its in CASES.items() for mode in MODES if MODES[mode].offered(its.build())]
KEPT = {"conditional-f": "static", "conditional-z": "dynamic"}


def made(case: str, mode: str, count: int = 3, seed: int = 0, length: int = 3, x: torch.Tensor | None = None) -> Made:
    """Of a case in float64, from as many sequences as the mode reads; a prediction reads two frames."""
    reads = MODES[mode].reads
    x = frames(CASES[case], count if reads is None else reads, 3, dtype=torch.float64) if x is None else x
    given = x[:, :2] if mode == "prediction" else x
    whole = tuple(its.repeat(2, *[1] * (its.ndim - 1)) for its in x.unsqueeze(1))  # two equal segments each
    return make(mode, Maker(CASES[case].build(dtype=torch.float64), seed=seed, whole=whole), given, count, length)


def test_which_models_have_which_modes() -> None:
    for case, its in CASES.items():
        mine = {mode for name, mode in PAIRS if name == case}
        both = {"conditional-f", "conditional-z", "swap"} if swappable(its.build()) else set()
        roles = set(its.build().latents.values())
        both |= {"traversal-f"} if "static" in roles else set()
        both |= {"traversal-z"} if "dynamic" in roles else set()
        both |= {"replacement"} if its.model == "fhvae" else set()
        future = set() if its.model in ("speech_vae", "fhvae") and not its.any_length else {"prediction"}
        assert mine == {"unconditional", "interpolation"} | both | future, case


@pytest.mark.parametrize(("case", "mode"), PAIRS)
def test_shapes_finite_and_the_same_for_a_seed(case: str, mode: str) -> None:
    one, again = made(case, mode), made(case, mode)
    lead = (3, 3) if mode in GRIDS else (3,)
    assert one.x_hat.shape == (*lead, 3, *CASES[case].frame) and np.isfinite(one.x_hat).all()
    np.testing.assert_array_equal(one.x_hat, again.x_hat)
    more = {"mu2"} if mode == "replacement" else set()
    assert one.codes.keys() == again.codes.keys() == CASES[case].build().latents.keys() | more


@pytest.mark.parametrize(("case", "mode"), [its for its in PAIRS if its[1] in ("unconditional", *KEPT)])
def test_another_seed_another_sequence(case: str, mode: str) -> None:
    one, other = made(case, mode), made(case, mode, seed=1)
    assert not np.allclose(one.x_hat, other.x_hat)
    assert len({row.tobytes() for row in one.x_hat}) == 3


@pytest.mark.parametrize(("case", "mode"), [its for its in PAIRS if its[1] in KEPT])
def test_what_a_condition_keeps(case: str, mode: str) -> None:
    model, x = CASES[case].build(dtype=torch.float64), frames(CASES[case], 1, 3, dtype=torch.float64)
    read, its = encode(model, x), made(case, mode, x=x)
    for name, role in model.latents.items():
        kept = np.allclose(its.codes[name], read[name].numpy())
        assert kept == (role == KEPT[mode]), name


@pytest.mark.parametrize("case", [case for case, mode in PAIRS if mode == "swap"])
def test_swaps_are_the_mixed_codes_decoded(case: str) -> None:
    model, x = CASES[case].build(dtype=torch.float64), frames(CASES[case], 3, 3, dtype=torch.float64)
    read, swaps = encode(model, x), made(case, "swap", x=x).x_hat
    for i, j in ((0, 2), (2, 1), (1, 1)):
        mixed = {k: code[[i]] if model.latents[k] == "static" else code[[j]] for k, code in read.items()}
        np.testing.assert_allclose(swaps[i, j], decode(model, mixed)[0], atol=1e-12)


@pytest.mark.parametrize(("case", "mode"), [its for its in PAIRS if its[1].startswith("traversal")])
def test_traversals_move_one_code_through_where_it_is(case: str, mode: str) -> None:
    """Five steps from -2 to 2 in all dimensions: the third is what the sequence decodes to."""
    model, x = CASES[case].build(dtype=torch.float64), frames(CASES[case], 1, 3, dtype=torch.float64)
    read, its = encode(model, x), made(case, mode, count=5, x=x)
    np.testing.assert_allclose(its.x_hat[2], decode(model, read)[0], atol=1e-12)
    role = {"traversal-f": "static", "traversal-z": "dynamic"}[mode]
    for name, code in read.items():
        for step, offset in enumerate((-2, -1, 0, 1, 2)):
            moved = code[0].numpy() + offset * (model.latents[name] == role)
            np.testing.assert_allclose(its.codes[name][step], moved, atol=1e-12)
    assert not np.allclose(its.x_hat[0], its.x_hat[4])


@pytest.mark.parametrize("case", [case for case, mode in PAIRS if mode == "replacement"])
def test_replacements_move_z2_from_one_mu2_to_another(case: str) -> None:
    """mu2 of two equal segments is 2 z2 / 2.25; the diagonal is what each segment decodes to."""
    model, x = CASES[case].build(dtype=torch.float64), frames(CASES[case], 2, 3, dtype=torch.float64)
    read, its = encode(model, x), made(case, "replacement", x=x)
    mu2 = read["z2"] * 2 / 2.25
    np.testing.assert_allclose(its.codes["mu2"], mu2, atol=1e-12)
    for i, j in ((0, 0), (1, 1), (0, 1), (1, 0)):
        code = {name: its[[j]] for name, its in read.items()}
        code["z2"] = code["z2"] - mu2[[j]] + mu2[[i]]
        np.testing.assert_allclose(its.x_hat[i, j], decode(model, code)[0], atol=1e-12)


@pytest.mark.parametrize("case", [case for case, mode in PAIRS if mode == "interpolation"])
def test_interpolations_begin_and_end_at_their_sequences(case: str) -> None:
    model, x = CASES[case].build(dtype=torch.float64), frames(CASES[case], 2, 3, dtype=torch.float64)
    read, way = encode(model, x), made(case, "interpolation", count=5, x=x)
    np.testing.assert_allclose(way.x_hat[[0, 4]], decode(model, read), atol=1e-12)
    for name, code in read.items():
        np.testing.assert_allclose(way.codes[name][1], 0.75 * code[0].numpy() + 0.25 * code[1].numpy(), atol=1e-12)


@pytest.mark.parametrize("case", [case for case, mode in PAIRS if mode == "prediction"])
def test_predictions_follow_their_prefix_and_go_on_for_longer(case: str) -> None:
    x = frames(CASES[case], 2, 3, dtype=torch.float64)
    other = x.clone()
    other[0, :2] += 0.3
    one, changed = made(case, "prediction", 2, x=x), made(case, "prediction", 2, x=other)
    alike = np.allclose(one.x_hat[0, 2], changed.x_hat[0, 2])  # the third frame of the first sequence
    assert alike == (CASES[case].model == "vae")  # whose frames know nothing of each other
    np.testing.assert_allclose(one.x_hat[1], changed.x_hat[1], atol=1e-12)
    longer = made(case, "prediction", 2, length=6, x=x)
    assert longer.x_hat.shape[1] == 6 and np.isfinite(longer.x_hat).all()


def test_modes_that_are_not_there() -> None:
    with pytest.raises(Mistake, match=r"--mode: unknown mode 'swop'; did you mean 'swap'\?"):
        mode_of("swop")
    with pytest.raises(
        Mistake, match=r"model vae as it was trained has no mode swap, which asks for a static and a dynam"
    ):
        mode_of("swap", CASES["vae"].build(), "vae")
    with pytest.raises(Mistake, match="has no mode prediction, which asks for a net that reads a part of the window"):
        mode_of("prediction", CASES["fhvae-simple"].build(), "fhvae")


def test_what_is_not_finite_is_refused() -> None:
    model = CASES["vae"].build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(Mistake, match="100% of the numbers that the model made are not finite; take another run"):
        make("unconditional", Maker(model), frames(CASES["vae"], 1), 2, 3)
