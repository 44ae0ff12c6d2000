"""How numbers become text: exactly, or rounded to what their interval supports (statistics.md 11)."""

import math

PLACES = 4  # decimals where no spread says how many make sense


def plain_number(value: float | None) -> str:
    """Shortest text that reads back as the same number, 10 for 10.0; empty for none and for what is not finite."""
    if value is None or not math.isfinite(value):
        return ""
    return str(int(value)) if float(value).is_integer() and abs(value) < 2**53 else repr(float(value))


def decimals(spread: float | None) -> int:
    """Decimals that show two digits of `spread`, the half-width of an interval or a standard deviation.

    0.00999... that is meant as 0.01 counts as such.
    """
    if not spread or not math.isfinite(spread):
        return PLACES
    return max(0, 1 - math.floor(math.log10(spread) + 1e-9))


def fixed(value: float | None, places: int) -> str:
    """A value with so many decimals; empty for none."""
    return "" if value is None else f"{value:.{places}f}"


def signed(value: float | None, places: int) -> str:
    """The same, always with its sign."""
    return "" if value is None else f"{value:+.{places}f}"


def p_text(value: float | None) -> str:
    """A p-value: `.016`, `<.001`, `1.000`; empty for none."""
    if value is None:
        return ""
    return "<.001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def percent(share: float) -> str:
    """`5 %`, `2.5 %`."""
    return f"{100 * share:.6g} %"


def seeds_text(seeds: tuple[int, ...]) -> str:
    """`1000-1004` for a run of seeds, else all of them."""
    if len(seeds) > 2 and seeds == tuple(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds))
