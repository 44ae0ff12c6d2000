"""The bench: that it measures what it says, and that mistakes cost no time."""

import json
import os

import pytest
import torch
from rich.console import Console

from ablate import bench
from ablate.errors import Mistake
from ablate.registry import LOSSES, MODELS
from ablate.training.bench import BATCH, Stepper, carried, step_times


@pytest.fixture
def console():
    return Console(width=150, record=True, force_terminal=False)


def test_terms_of_a_model_are_those_it_can_carry():
    bound, others = carried(MODELS["dsae"])
    assert bound == ["kl_f", "kl_z", "recon"] and {"cyclic", "mi", "scc"} <= set(others)
    bound, others = carried(MODELS["vae"])
    assert bound == ["kl_z", "recon"] and not {"cyclic", "mi", "scc"} & set(others)


def test_steps_train():
    stepper = Stepper(MODELS["vae"], ["recon", "kl_z"], torch.device("cpu"))
    first, later = stepper.run(1), stepper.run(30)
    assert later < first and stepper.done == 31
    assert stepper.parameters == sum(p.numel() for p in stepper.step.model.parameters())


@pytest.mark.long
def test_step_times_cover_all_models_and_terms(monkeypatch):
    monkeypatch.setattr("ablate.training.bench.WARM_UP", 1)
    times = step_times(repeats=1, steps=1)
    assert set(times["models"]) | set(times["skipped"]) == set(MODELS.names())
    for name, its in times["models"].items():
        assert set(its["terms"]) == set(carried(MODELS[name])[1]) <= set(LOSSES.names())
        assert its["parameters"] > 0 and all(ms > 0 for ms in (its["ms"], *its["terms"].values()))
    assert torch.get_num_threads() == 1 and BATCH >= 2


def test_figures_become_a_table_and_a_file(console, tmp_path, monkeypatch):
    step = {"parameters": 9, "ms": 2.0, "terms": {"cyclic": 3.0}}
    monkeypatch.setitem(
        bench.PARTS, "terms", lambda its: {"device": its.device, "models": {"dsae": step}, "skipped": {"x": "no"}}
    )
    batches = {32: {"ms": 2.0, "naive_ms": 5.0, "ratio": 2.5}, 1: {"ms": 1.0}}
    monkeypatch.setitem(
        bench.PARTS,
        "models",
        lambda its: {"device": its.device, "models": {"vrnn": {"batch": batches, "peak_mb": 480.0}}, "skipped": {}},
    )
    monkeypatch.setitem(
        bench.PARTS,
        "store",
        lambda _: {"memmap_us": 100.0, "store_us": 130.0, "batch_us": 150.0, "ratio": 1.3, "batch_ratio": 1.5},
    )
    figures = bench.bench(["models", "terms", "store"], console, tmp_path / "bench.json")
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert kept == json.loads(json.dumps(figures))
    assert set(kept) == {"machine", "models", "terms", "store"} and kept["machine"]["cores"] >= 1
    text = console.export_text()
    assert "+ cyclic" in text and "1.50" in text and "1.30" in text and "numpy memmap" in text
    assert "2.50" in text and "480" in text and "process CPU time" in text


def test_overhead_table(console):
    its = {"overhead_s": 0.3, "empty_s": 0.2, "ratio": 1.5, "later_overhead_s": 0.05, "later_empty_s": 0.01}
    both = {"one worker": its | {"bare_s": 0.08}, "two workers": its | {"ratio": 1.1, "bare_s": 9.0}, "took_s": 60.0}
    console.print(bench.overhead_table(both))
    text = console.export_text()
    assert "one worker, against an empty Tune trial" in text and "two workers" in text and "1.15" in text


def test_mistakes_are_told_before_anything_is_measured(console, tmp_path):
    with pytest.raises(Mistake) as caught:
        bench.bench(["model", "overhead"], console, tmp_path / "no" / "bench.json", bench.Settings(device="cuda"))
    sentences = caught.value.sentences
    assert "did you mean 'models'" in sentences[0]
    assert f"{tmp_path / 'no'} is missing" in sentences[-1]
    assert len(sentences) == (2 if torch.cuda.is_available() else 3)


@pytest.mark.slow
def test_overhead_of_real_trials():
    from ablate.search.bench import one_worker

    store = os.environ["ABLATE_STORE"]
    figures = one_worker(rounds=1, trials=3)
    assert figures["overhead_s"] > 0 and figures["empty_s"] > 0 and figures["training_s"] > 0
    assert figures["ratio"] == pytest.approx(figures["overhead_s"] / figures["empty_s"])
    assert figures["later_empty_s"] < figures["empty_s"]
    assert os.environ["ABLATE_STORE"] == store
