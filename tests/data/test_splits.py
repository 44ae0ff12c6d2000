"""Splits keep speakers apart; where there are too few, utterances are split and the report says so."""

import pytest

from ablate.data.items import Item
from ablate.data.splits import SplitOptions, assign, check_name
from ablate.errors import Mistake


def _items(speakers: int, each: int, split: str | None = None) -> list[Item]:
    return [Item(f"{split}/{who}/{take}", f"s{who}", split) for who in range(speakers) for take in range(each)]


def _groups(items: list[Item], splits: list[str], wanted: str) -> set[str | None]:
    return {item.group for item, split in zip(items, splits, strict=True) if split == wanted}


def test_speakers_are_disjoint_where_validation_holds_three() -> None:
    items = _items(20, 4)
    splits, note = assign(items, SplitOptions())
    sets = [_groups(items, splits, name) for name in ("train", "valid", "test")]
    assert [len(names) for names in sets] == [14, 3, 3]
    assert len(set.union(*sets)) == 20
    assert note == "split by speaker, disjoint"


def test_too_few_speakers_are_split_by_utterance_and_it_is_said() -> None:
    items = _items(6, 50)
    splits, note = assign(items, SplitOptions())
    assert [len(_groups(items, splits, name)) for name in ("train", "valid", "test")] == [6, 6, 6]
    for who in range(6):
        mine = [split for item, split in zip(items, splits, strict=True) if item.group == f"s{who}"]
        assert (mine.count("valid"), mine.count("test")) == (8, 8)
    assert "by utterance" in note and "6 speakers" in note and "fewer than 3" in note


def test_the_draw_follows_the_seed_and_not_the_order() -> None:
    items = _items(20, 2)
    splits, _ = assign(items, SplitOptions())
    backwards, _ = assign(items[::-1], SplitOptions())
    assert splits == backwards[::-1]
    assert splits != assign(items, SplitOptions(split_seed=1))[0]


def test_given_splits_are_kept_and_a_missing_validation_comes_out_of_train() -> None:
    items = _items(20, 2, "train") + _items(4, 2, "test")
    splits, note = assign(items, SplitOptions(), "character")
    assert splits[40:] == ["test"] * 8
    assert splits[:40].count("valid") == 6 and "test" not in splits[:40]
    assert "character" in note
    apart = [Item("a", "r", "train"), Item("b", "s", "valid"), Item("c", "t", "test")]
    assert assign(apart, SplitOptions()) == (["train", "valid", "test"], "")
    shared = [Item("a", "r", "train"), Item("b", "s", "valid"), Item("c", "r", "test")]
    assert assign(shared, SplitOptions())[1] == "the given splits share 1 of 2 speakers"


def test_without_speakers_every_item_stands_for_itself() -> None:
    splits, note = assign([Item(str(number)) for number in range(20)], SplitOptions())
    assert splits.count("valid") == splits.count("test") == 3
    assert "no speaker is known" in note


def test_shares_must_leave_something_for_training() -> None:
    with pytest.raises(ValueError, match="nothing for training"):
        SplitOptions(valid_share=0.5, test_share=0.5)


def test_names_of_splits() -> None:
    assert [check_name(name, "") for name in ("TRAIN", "dev", "validation", "Test")] == [
        "train",
        "valid",
        "valid",
        "test",
    ]
    with pytest.raises(Mistake, match=r"a/b\.wav: 'extra' is no split"):
        check_name("extra", "a/b.wav")
