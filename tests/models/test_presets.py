from dataclasses import dataclass

import pytest

from ablate.errors import Mistake
from ablate.models.presets import filled, size, vectors


@dataclass(frozen=True)
class Sizes:
    hidden: int = 3
    dense: tuple[int, ...] = (4, 5)
    wide: bool = True


@dataclass(frozen=True)
class Options:
    preset: str = "small"
    mode: str = "other"  # no size
    hidden: int | None = size()
    dense: tuple[int, ...] | None = None
    wide: bool | None = None


PRESETS = {"small": Sizes(), "large": Sizes(30, (40,))}


def test_what_is_given_wins_over_the_preset():
    assert filled(Options(), PRESETS) == Sizes()
    assert filled(Options("large", hidden=7), PRESETS) == Sizes(7, (40,))


def test_an_empty_list_and_false_are_given():
    assert filled(Options("large", dense=(), wide=False), PRESETS) == Sizes(30, (), False)


def test_a_size_has_its_lower_limit():
    assert Options.__dataclass_fields__["hidden"].metadata["ge"] == 1


def test_pictures_are_the_users_mistake():
    assert vectors("storn", (80,)) == 80
    with pytest.raises(Mistake, match=r"model storn takes frames that are vectors \(D\), not of shape \(3, 8, 8\)"):
        vectors("storn", (3, 8, 8))
