"""The schema for editors agrees with what the study files may hold."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from toys import DESIGN, PLAIN, STUDY, toys

from ablate.schema import json_schema

__all__ = ["toys"]
jsonschema = pytest.importorskip("jsonschema")


def complaints(schema: dict[str, Any], text: str) -> list[str]:
    """Where a study breaks the schema."""
    validator = jsonschema.Draft202012Validator(schema)
    return sorted(its.json_path for its in validator.iter_errors(YAML(typ="safe").load(text)))


@pytest.mark.usefixtures("toys")
def test_the_schema_takes_what_the_reader_takes() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert complaints(schema, STUDY) == complaints(schema, PLAIN) == []
    assert complaints(schema, DESIGN) == complaints(schema, DESIGN.replace("seeds: 5", "seeds: {max: 9}")) == []
    more = "metrics: {every: 2, probes: }\nresources: {workers: 2}\ntracking:\n"
    assert complaints(schema, STUDY + "  confirm: {seeds: 3, against: a.yaml}\n" + more) == []


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("name: toy", "name: a/b", "$.name"),
        ("inference: full", "inference: half", "$.model.inference"),
        ("inference: full", "zdim: 3", "$.model"),
        ("inference: full", "inference: {uniform: [0, 1]}", "$.model.inference"),
        ("inference: full", "hidden: [0]", "$.model.hidden"),
        ("window: 10", "root: {choice: [a]}", "$.data.root"),
        ("scc:", "sccc:", "$.loss"),
        ("algorithm: tpe", "algorithm: pbt", "$.search"),
        ("trials: 6", "trials: {choice: [6]}", "$.search"),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(old: str, new: str, path: str) -> None:
    assert complaints(json_schema(), STUDY.replace(old, new)) == [path]


@pytest.mark.usefixtures("toys")
def test_descriptions_come_from_the_source() -> None:
    schema = json_schema()
    choice = next(its for its in schema["properties"]["model"]["allOf"] if its["then"]["description"] == "A toy.")
    assert choice["if"]["properties"]["name"] == {"const": "encoder"}
    train = schema["properties"]["train"]["anyOf"][0]["properties"]
    assert train["patience"]["description"] == "epochs without a better `stop_on` before the run ends"
    assert train["epochs"]["default"] == 8
    assert "init_digest" not in train


def test_the_shipped_studies(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[1] / "search_spaces"
    schema = json_schema()
    for name in ("dsae_losses", "vae_baseline"):
        assert complaints(schema, (root / f"{name}.yaml").read_text()) == []
