"""Digests of source files: right, remembered, and renewed with the file."""

import hashlib
import os
from pathlib import Path

import pytest

from ablate.data import sources
from ablate.data.items import Item
from ablate.data.sources import digests, source_lines


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    made = [tmp_path / "data" / name for name in ("a.wav", "b.wav")]
    made[0].parent.mkdir()
    for path in made:
        path.write_text(path.name)
    return made


def test_digests_are_remembered_until_the_file_changes(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {path: hashlib.sha256(path.name.encode()).hexdigest() for path in paths}
    assert digests(paths) == expected
    read: list[str] = []
    original = hashlib.file_digest
    monkeypatch.setattr(
        sources.hashlib, "file_digest", lambda file, kind: (read.append(file.name), original(file, kind))[1]
    )
    assert digests(paths) == expected and not read
    paths[0].write_text("other")
    os.utime(paths[0], ns=(1, 1))
    assert digests(paths)[paths[0]] == hashlib.sha256(b"other").hexdigest()
    assert read == [str(paths[0])]


def test_without_a_writable_store_digests_are_right_all_the_same(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATE_STORE", str(paths[0] / "below a file"))
    assert digests(paths)[paths[1]] == hashlib.sha256(b"b.wav").hexdigest()


def test_lines_of_the_data_digest(paths: list[Path]) -> None:
    items = [
        Item("a", path=paths[0], source="a.wav"),
        Item("x", source="generator=toy@1 seed=0"),
        Item("c", path=paths[0].with_name("none.wav"), source="none.wav"),
    ]
    wav = hashlib.sha256(b"a.wav").hexdigest()
    assert source_lines(items) == [f"a.wav\t{wav}", "generator=toy@1 seed=0", "none.wav\tmissing"]
