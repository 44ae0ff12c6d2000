"""Registries: names, nearest names, clashes, and files that are imported once."""

import sys
from pathlib import Path

import pytest

from ablate.errors import Mistake
from ablate.registry import DATASETS, LOSSES, METRICS, MODELS, NoOptions, Registry, latent, unknown


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `toy_terms` on the path, without files."""
    folder = tmp_path / "toy_terms"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in [its for its in sys.modules if its.startswith("toy_terms")]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def term(registry: str, name: str) -> str:
    """Source of a file that registers `name` with a registry kept in a module of its own."""
    head = f'from {registry} import TERMS\n\n@TERMS("{name}", needs={{"static"}})\n'
    return head + f'def {name}():\n    """First line.\n\n    More."""\n'


@pytest.fixture
def terms(package: Path) -> Registry:
    """A registry over the package, reachable from its files."""
    (package.parent / "toy_registry.py").write_text(
        "from ablate.registry import Registry\nTERMS = Registry('loss term', 'toy_terms')\n"
    )
    sys.modules.pop("toy_registry", None)
    (package / "scc.py").write_text(term("toy_registry", "scc"))
    (package / "mi.py").write_text(term("toy_registry", "mi"))
    import toy_registry

    return toy_registry.TERMS


def test_looking_up_imports_every_file(terms: Registry) -> None:
    assert "toy_terms.scc" not in sys.modules
    entry = terms["scc"]
    assert (entry.name, entry.options, entry.meta, entry.doc) == (
        "scc",
        NoOptions,
        {"needs": {"static"}},
        "First line.",
    )
    assert entry.distribution == "toy_terms"
    assert terms.names() == ["mi", "scc"]
    assert [its.name for its in terms] == ["mi", "scc"]
    assert "mi" in terms
    assert "recon" not in terms


def test_unknown_names_get_the_nearest(terms: Registry) -> None:
    with pytest.raises(Mistake) as caught:
        terms["sccc"]
    assert str(caught.value) == "unknown loss term 'sccc'; did you mean 'scc'? (known: mi, scc)"
    assert unknown("model", "zzz", ["dsae"]) == "unknown model 'zzz' (known: dsae)"


def test_two_files_with_one_name(package: Path, terms: Registry) -> None:
    (package / "twin.py").write_text(term("toy_registry", "scc"))
    with pytest.raises(ValueError, match=r"two loss terms are named 'scc': toy_terms\.(scc and toy_terms\.twin)"):
        terms.names()


def test_a_file_that_fails_fails_every_time(package: Path, terms: Registry) -> None:
    (package / "broken.py").write_text("import no_such_module_anywhere\n")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
            terms.names()


def test_every_entry_says_what_it_is() -> None:
    for registry in (MODELS, LOSSES, DATASETS, METRICS):
        for entry in registry:
            assert entry.doc, f"{registry.kind} {entry.name} has no docstring"


def test_the_latent_of_a_role() -> None:
    class Model:
        latents = {"z1": "dynamic", "z2": "static"}  # noqa: RUF012

    assert (latent(Model, "static"), latent(Model(), "dynamic")) == ("z2", "z1")
