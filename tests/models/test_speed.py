"""The bench of models: what it covers, what it measures, and that no loop is slower than its naive form."""

import pytest
import torch
from naive import NAIVE

from ablate.registry import MODELS
from ablate.training.speed import FRAMES, X_DIM, Stepper, in_turn, naive_forms, published, speeds, variants

LOOPED = sorted(name for name, (entry, _) in variants().items() if entry.name in NAIVE)


def test_the_bench_finds_the_per_frame_forms_of_a_checkout():
    assert naive_forms().keys() == NAIVE.keys()


def test_every_model_is_measured_in_its_published_speech_size():
    assert {entry.name for entry, _ in variants().values()} == set(MODELS.names())
    assert {"rvae non-causal", "srnn generation"} < set(variants())
    assert published(MODELS["srnn"]) == {"preset": "speech"} and published(MODELS["fhvae"]) == {"preset": "sfh"}
    assert published(MODELS["speech_vae"]) == {}  # its published net is one of 4096 units for other windows


def test_steps_train_both_forms_alike():
    hoisted, naive = Stepper("vrnn", 2), Stepper("vrnn", 2, NAIVE["vrnn"])
    assert hoisted.x.shape == (2, FRAMES, X_DIM)
    for number in range(2):
        assert hoisted.step(number) > 0 and naive.step(number) > 0
    pairs = zip(hoisted.model.parameters(), naive.model.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=2e-6) for a, b in pairs)  # two steps of 1e-5, whose sign a rounding may turn


def test_figures_of_several_batch_sizes(monkeypatch):
    some = {name: variants()[name] for name in ("vae", "vrnn", "fhvae")}
    monkeypatch.setattr("ablate.training.speed.variants", lambda: some)
    its = speeds((1, 2), memory=False, repeats=1)
    assert its["device"] == "cpu" and its["skipped"] == {}
    assert {name: {size: set(one) for size, one in of["batch"].items()} for name, of in its["models"].items()} == {
        "vae": {1: {"ms"}, 2: {"ms"}},
        "fhvae": {1: {"ms"}, 2: {"ms"}},
        "vrnn": {size: {"ms", "naive_ms", "ratio"} for size in (1, 2)},
    }


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 32])
@pytest.mark.parametrize("variant", LOOPED)
def test_no_model_is_slower_than_its_naive_form(variant, size):
    assert in_turn(variant, size, NAIVE, repeats=3)["ratio"] > 0.95
