"""The bench measures what it says and stays within the house's limit."""

from ablate.data.bench import extraction_rate, read_rate


def test_reading_costs_at_most_twice_a_memmap() -> None:
    figures = read_rate(repeats=5, batches=100)
    assert figures["memmap_us"] > 0
    assert figures["ratio"] <= 2 and figures["batch_ratio"] <= 2


def test_extraction_rate_is_in_hours_per_core_minute() -> None:
    figures = extraction_rate(repeats=1)
    assert figures["hours_per_core_minute"] * figures["seconds_per_hour"] > 59.9
    assert 1 < figures["hours_per_core_minute"] < 10_000
