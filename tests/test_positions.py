"""Reading YAML 1.2: values, and where they were written."""

import pytest

from ablate.positions import Document, override, read

TEXT = """\
# a comment
a: {b: 2e-3, c: [1, two, {d: off}]}
e:
  f: yes
  g: 010
  h: 2020-01-01
  i: &here [1, 2]
  j: *here
  k: ~
"""


@pytest.fixture
def document() -> Document:
    return read(TEXT, "x.yaml")


def test_values_of_yaml_1_2(document: Document) -> None:
    assert document.complaints == []
    assert document.value == {
        "a": {"b": 0.002, "c": [1, "two", {"d": "off"}]},
        "e": {"f": "yes", "g": 10, "h": "2020-01-01", "i": [1, 2], "j": [1, 2], "k": None},
    }


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        (("a",), "2:1", "2:1"),
        (("a", "b"), "2:5", "2:8"),
        (("a", "c", 1), "2:14", "2:21"),
        (("a", "c", 2, "d"), "2:27", "2:30"),
        (("e", "f"), "4:3", "4:6"),
        (("e", "nothing", "here"), "3:1", "3:1"),
        (("e", "k"), "9:3", "9:3"),
        (("nothing",), "1:1", "1:1"),
    ],
)
def test_positions(document: Document, place: tuple[str | int, ...], key: str, value: str) -> None:
    assert (document.key(place).text, document.at(place).text) == (f"x.yaml:{key}", f"x.yaml:{value}")


def test_overrides_carry_their_own_place(document: Document) -> None:
    for setting in ("a.b=[1, {x: 2}]", "e.f.new=3", "n.m=", "e=4"):
        override(document, setting)
    assert document.value == {"a": {"b": [1, {"x": 2}], "c": [1, "two", {"d": "off"}]}, "e": 4, "n": {"m": None}}
    assert document.at(("a", "b", 1, "x")).text == "--set a.b=[1, {x: 2}]"
    assert document.at(("e",)).text == "--set e=4"
    assert document.at(("e", "g")).text == "--set e=4"
    assert [str(its) for its in document.complaints] == [
        "--set e.f.new=3: e.f is no section, so nothing can be set inside it"
    ]
    assert sorted([document.at(("e",)), document.at(("a", "c"))])[0].text == "x.yaml:2:17"
