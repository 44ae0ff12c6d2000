"""Training, validation and test items: no speaker or character in two of them; by utterance where these are too few."""

from dataclasses import dataclass, field

from ablate.data.items import Item
from ablate.errors import Mistake
from ablate.random import stream

SPLITS = ("train", "valid", "test")
FEWEST_GROUPS = 3  # speakers that validation must hold for a split by speaker


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Shares of a dataset that brings no split of its own."""

    valid_share: float = field(default=0.15, metadata={"gt": 0, "lt": 1, "prepare": False})
    test_share: float = field(default=0.15, metadata={"gt": 0, "lt": 1, "prepare": False})
    split_seed: int = field(default=0, metadata={"ge": 0, "prepare": False})

    def __post_init__(self) -> None:
        if self.valid_share + self.test_share >= 1:
            raise ValueError("valid_share and test_share leave nothing for training")


def assign(items: list[Item], options: SplitOptions, unit: str = "speaker") -> tuple[list[str], str]:
    """Split of every item, and one sentence about how it was made ('' where the dataset brought all splits itself).

    Items of a given validation or test split keep it; what is missing is taken from the others. Their order is drawn
    per name from `split_seed`, so that one more speaker moves nobody else's place in the order.
    """
    given = {item.split for item in items}
    shares = {"valid": options.valid_share, "test": options.test_share}
    shares = {name: share for name, share in shares.items() if name not in given}
    if not shares:
        return [item.split or "train" for item in items], _overlap(items, unit)
    free = [item for item in items if item.split in (None, "train")]
    chosen, note = _share(free, shares, options.split_seed, unit)
    return [chosen.get(item.id) or item.split or "train" for item in items], note


def _overlap(items: list[Item], unit: str) -> str:
    """A sentence where given splits share speakers, which only the dataset can change."""
    inside = {item.group for item in items if item.group and item.split in (None, "train")}
    outside = {item.group for item in items if item.group and item.split in ("valid", "test")}
    shared = len(inside & outside)
    return f"the given splits share {shared} of {len(inside | outside)} {unit}s" if shared else ""


def _share(free: list[Item], shares: dict[str, float], seed: int, unit: str) -> tuple[dict[str, str], str]:
    groups = sorted({item.group or item.id for item in free})
    apart = _draw(groups, shares, seed)
    held = sum(split == "valid" for split in apart.values())
    named = any(item.group is not None for item in free)
    if not named or "valid" not in shares or held >= FEWEST_GROUPS:
        chosen = {item.id: apart[item.group or item.id] for item in free}
        return chosen, f"split by {unit}, disjoint" if named else f"split by utterance: no {unit} is known"
    chosen = {}
    for group in groups:
        chosen |= _draw([item.id for item in free if (item.group or item.id) == group], shares, seed)
    return chosen, (
        f"split by utterance, so splits share their {unit}s: of {len(groups)} {unit}s only {held} would be in"
        f" validation (fewer than {FEWEST_GROUPS})"
    )


def _draw(names: list[str], shares: dict[str, float], seed: int) -> dict[str, str]:
    """Split per name; sizes are rounded shares, at least 1 where there are names enough for every split."""
    order = sorted(names, key=lambda name: stream(seed, f"split:{name}"))
    least = 1 if len(names) > len(shares) else 0
    chosen = dict.fromkeys(names, "train")
    at = 0
    for split, share in shares.items():
        count = max(least, round(share * len(names)))
        chosen |= dict.fromkeys(order[at : at + count], split)
        at += count
    return chosen


def check_name(name: str, where: str) -> str:
    """The split that `train`, `TRAIN`, `dev`, `validation` ... stand for; raises Mistake."""
    known = {"training": "train", "dev": "valid", "validation": "valid", "val": "valid", "testing": "test"}
    split = known.get(name.lower(), name.lower())
    if split not in SPLITS:
        raise Mistake(f"{where}: {name!r} is no split; use train, valid (or dev) and test.")
    return split
