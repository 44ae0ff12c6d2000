"""Numbers as text, Markdown, and tables in terminals of any width."""

import io
import math

import pytest
from rich.console import Console

from ablate.reporting.numbers import decimals, fixed, p_text, percent, plain_number, seeds_text, signed
from ablate.reporting.table import Column, Table, markdown, widths, without_spare
from ablate.reporting.terminal import show

TABLE = Table(
    "Title",
    (Column("configuration", wrap=True), Column("score", True), Column("rare", True, spare=2), Column("p", spare=1)),
    (("scc=10 mi=1", "0.61", "7", ".016"), ("a|b", "0.5", "", "")),
    "Caption.",
    ("a note",),
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(10.0, "10"), (0.1, "0.1"), (1 / 3, "0.3333333333333333"), (-0.0, "0"), (1e-7, "1e-07"), (1e300, "1e+300")],
)
def test_plain_numbers_read_back(value: float, text: str):
    assert plain_number(value) == text
    assert float(text) == value


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_empty(value: float | None):
    assert plain_number(value) == ""


@pytest.mark.parametrize(
    ("spread", "places"),
    [
        (0.00937, 4),
        (0.01 - 1e-16, 3),
        (0.0118, 3),
        (0.1, 2),
        (0.95, 2),
        (1.0, 1),
        (12.0, 0),
        (300.0, 0),
        (0.0, 4),
        (None, 4),
    ],
)
def test_two_digits_of_the_interval(spread: float | None, places: int):
    assert decimals(spread) == places


def test_signs_and_p_values():
    assert [signed(0.000454, 3), signed(-0.0001, 4), signed(None, 2), fixed(0.61604, 3)] == [
        "+0.000",
        "-0.0001",
        "",
        "0.616",
    ]
    assert [p_text(p) for p in (0.0164, 0.00099, 1.0, None)] == [".016", "<.001", "1.000", ""]
    assert (percent(0.05), percent(0.95), percent(0.025)) == ("5 %", "95 %", "2.5 %")
    assert (seeds_text((1000, 1001, 1002)), seeds_text((3, 7)), seeds_text((0, 1))) == ("1000-1002", "3, 7", "0, 1")


def test_markdown():
    assert markdown(TABLE) == (
        "### Title\n"
        "\n"
        "| configuration | score | rare | p    |\n"
        "| ------------- | ----: | ---: | ---- |\n"
        "| scc=10 mi=1   |  0.61 |    7 | .016 |\n"
        "| a\\|b          |   0.5 |      |      |\n"
        "\n"
        "Caption.\n"
        "\n"
        "- a note\n"
    )


def test_rows_must_fit_the_columns():
    with pytest.raises(ValueError, match="'T'"):
        Table("T", (Column("a"),), (("1", "2"),))


def test_columns_give_way_in_order():
    assert without_spare(TABLE, 80) is TABLE
    assert [its.head for its in without_spare(TABLE, 30).columns] == ["configuration", "score", "p"]
    least = without_spare(TABLE, 10)
    assert [its.head for its in least.columns] == ["configuration", "score"]
    assert least.rows[0] == ("scc=10 mi=1", "0.61")
    assert least.notes == ("a note", "no room for: rare, p")


def test_no_word_is_broken():
    narrow = Table("T", (Column("x", wrap=True), Column("y", wrap=True)), (("a bb ccc", "dddd e"),))
    assert widths(narrow, 80) == [8, 6]
    assert widths(narrow, 13) == [5, 4]
    assert widths(narrow, 11) == [3, 4]


def drawn(table: Table, width: int, terminal: bool = True) -> str:
    """What a console of this width shows."""
    out = io.StringIO()
    show(Console(file=out, width=width, force_terminal=terminal, color_system=None, legacy_windows=False), table)
    return out.getvalue()


def test_on_a_terminal():
    text = drawn(TABLE, 60)
    assert "scc=10 mi=1" in text and "a note" in text and "no room" not in text
    assert "no room for: rare" in drawn(TABLE, 30)


def test_in_a_file_it_is_markdown_and_unwrapped():
    assert drawn(TABLE, 20, terminal=False) == markdown(TABLE) + "\n"


@pytest.mark.parametrize("width", [8, 12])
def test_on_a_terminal_too_narrow_for_columns_every_value_is_there(width: int):
    words = " ".join(drawn(TABLE, width).split())
    for value in ("0.61", ".016", "7"):
        assert value in words


def test_markup_in_names_is_text():
    assert "[bold]x" in drawn(Table("T", (Column("a"),), (("[bold]x",),)), 40)
