"""Preparation: what enters the key, who does the work, and what too many bad files say."""

import dataclasses

import numpy as np
import pytest

from ablate.data import prepare
from ablate.data.dataset import load_data
from ablate.data.prepare import check_bad, entry_key
from ablate.errors import Mistake

from .toy import Toy, ToyOptions


def test_the_key_follows_content_and_feature_options_only() -> None:
    items = Toy(ToyOptions()).items()
    lines = [f"line {item.id}" for item in items]
    key = entry_key("toy", ToyOptions(), items, lines)
    assert len(key) == 64
    assert key == entry_key(
        "toy", ToyOptions(window=7, shift=2, max_bad=0.5, test_share=0.3, split_seed=1), items, lines
    )
    others = [
        entry_key("other", ToyOptions(), items, lines),
        entry_key("toy", ToyOptions(length=31), items, lines),
        entry_key("toy", ToyOptions(), items, ["changed", *lines[1:]]),
        entry_key("toy", ToyOptions(), items[1:], lines[1:]),
        entry_key("toy", ToyOptions(), [dataclasses.replace(items[0], labels={"digit": "1"}), *items[1:]], lines),
    ]
    assert len({key, *others}) == 6


def test_bad_items_are_listed_beyond_the_share() -> None:
    skipped = [[f"{number}.wav", "truncated"] for number in range(25)]
    check_bad(skipped[:1], 100, 0.01, "toy")
    with pytest.raises(Mistake) as raised:
        check_bad(skipped, 100, 0.01, "toy")
    assert "25 of 100 items are bad (25.0%, more than data.max_bad 1.0%)" in raised.value.sentences[0]
    assert raised.value.sentences[1] == "0.wav: truncated" and len(raised.value.sentences) == 22
    assert raised.value.sentences[-1] == "... and 5 more."


def test_long_work_goes_to_other_processes_and_short_work_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    original = prepare.pooled
    monkeypatch.setattr(prepare, "pooled", lambda *args: (asked.append(len(args[1])), original(*args))[1])
    alone = load_data(("toy", ToyOptions(offset=1.0)), workers=2)
    assert not asked
    monkeypatch.setattr(prepare, "TRIAL_SECONDS", 0.0)
    monkeypatch.setattr(prepare, "INLINE_SECONDS", 0.0)
    load_data(("toy", ToyOptions(offset=2.0)), workers=1)
    assert not asked
    shared = load_data(("toy", ToyOptions(offset=3.0)), workers=2)
    assert asked == [38]
    difference = shared.train.raw([0, 5]) - alone.train.raw([0, 5])
    np.testing.assert_allclose(difference, np.broadcast_to([2, 2, 0], (2, 20, 3)), atol=1e-3)


def test_nothing_usable_is_a_mistake() -> None:
    with pytest.raises(Mistake, match=r"nothing usable in 2 items: \{'of no use': 2\}"):
        load_data(("toy", ToyOptions(count=2, dropped=(0, 1))))


def test_the_progress_bar_counts_every_item(capsys: pytest.CaptureFixture[str]) -> None:
    load_data(("toy", ToyOptions(count=41)), progress=True)
    assert "preparing toy" in capsys.readouterr().err
