"""The page of a report: every number of its tables, nothing from elsewhere, the same bytes, no word not earned."""

import hashlib
import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from design.studies import NAMES, B, C, by_seed, cells, planned

from ablate.design.options import Sequential
from ablate.reporting.confirmed import confirmation
from ablate.reporting.figures import figures
from ablate.reporting.page import page, question_of
from ablate.reporting.recorded import Recorded
from ablate.reporting.terminal import confirmation_tables

from .recordings import ablation, searched

VOID = ("meta", "br", "img", "link", "path", "use", "rect", "circle")


class Read(HTMLParser):
    """Elements, tables as rows of text, and all text of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.inside: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.inside.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.inside.pop() == tag, f"{tag} is closed out of turn"

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if {"td", "th"} & set(self.inside) and "tr" in self.inside:
            self.tables[-1][-1][-1] += data


def written(its: Recorded, asked: str = "") -> str:
    return page(its, figures(its), asked)


def b(**more: Any) -> Recorded:
    return ablation(planned("leave_one_out", margin=0.01), {arm: dict(enumerate(y)) for arm, y in B.items()}, **more)


def factorial(seeds: int = 4) -> Recorded:
    plan = planned("factorial", NAMES[:3], range(seeds))
    values = {arm: {seed: its[seed] for seed in range(seeds)} for arm, its in cells(plan, C).items()}
    return ablation(plan, values)


PAGES = {"leave_one_out": b(), "factorial": factorial(), "one_seed": factorial(1), "search": searched()}


@cache
def text_of(name: str) -> str:
    return written(PAGES[name])


@pytest.fixture(params=PAGES)
def text(request: pytest.FixtureRequest) -> str:
    return text_of(request.param)


@pytest.mark.parametrize("name", ["leave_one_out", "factorial"])
def test_every_cell_of_every_table_is_there(name: str) -> None:
    its, found = PAGES[name], Read(text_of(name)).tables
    assert its.ablation is not None
    for table in its.ablation.tables():
        assert [[column.head for column in table.columns], *map(list, table.rows)] in found, table.title


def test_every_cell_of_a_confirmation_is_there() -> None:
    its, tables = PAGES["search"], Read(text_of("search")).tables
    found = confirmation(its.question, its.rows)
    assert found is not None
    for table in confirmation_tables(its.question, found, its.rows):
        assert [[column.head for column in table.columns], *map(list, table.rows)] in tables, table.title


def test_nothing_is_loaded_from_elsewhere(text: str) -> None:
    for tag, attrs in Read(text).tags:
        assert tag not in ("script", "link", "iframe", "img", "object", "embed", "base", "audio", "video", "image")
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "srcset", "data", "poster", "action"):
            assert name not in attrs
        target = attrs.get("href") or attrs.get("xlink:href") or "#"
        assert target.startswith("#") or tag == "a"
    assert "@import" not in text and set(re.findall(r"url\((.)", text)) <= {"#"}


def test_it_is_sound_html_that_speaks_to_screen_readers(text: str) -> None:
    read = Read(text)  # asserts that elements are closed in turn
    ids = [attrs["id"] for _, attrs in read.tags if "id" in attrs]
    assert len(ids) == len(set(ids)), "an id is there twice"
    targets = [str(attrs.get("href") or attrs.get("xlink:href")) for _, attrs in read.tags]
    anchors = {its[1:] for its in [*targets, *re.findall(r"url\((#[^)]+)\)", text)] if its.startswith("#")}
    assert anchors <= set(ids)
    pictures = [attrs for tag, attrs in read.tags if tag == "svg"]
    assert pictures and all(its["role"] == "img" and its["aria-labelledby"] in ids for its in pictures)
    count = [tag for tag, _ in read.tags]
    assert count.count("figure") == count.count("figcaption") == len(pictures)
    assert read.tags[0] == ("html", {"lang": "en"}) and ("meta", {"charset": "utf-8"}) in read.tags


HOSTILE = '"><img src=x onerror=alert(1)>&amp;${7*7}{{7*7}}'


def test_hostile_names_stay_text() -> None:
    """Study, question, configuration, error: whatever a user or a library wrote."""
    its = searched(name=HOSTILE, study=HOSTILE, why=HOSTILE)
    read = Read(written(its, asked=HOSTILE))
    assert not [tag for tag, attrs in read.tags if tag == "img" or "onerror" in attrs]
    assert "".join(read.text).count(HOSTILE) > 10
    failed = next(table for table in read.tables if table[0][:2] == ["configuration", "seed"])
    assert failed[1] == ["lost", "0", "diverged", "8", HOSTILE]
    forest = next(plot for plot in figures(its) if plot.name == "forest")
    assert b"<img" not in forest.svg and b"&lt;img" in forest.svg


@pytest.mark.long
def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    code = """
import hashlib, sys
from reporting.test_page import factorial_of, written
print(hashlib.sha256(written(factorial_of(int(sys.argv[1]))).encode()).hexdigest())
"""
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])])
    other = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": path, "TZ": "UTC-5"}
    done = subprocess.run(
        [sys.executable, "-c", code, "2"], capture_output=True, text=True, env=other, cwd=tmp_path, check=True
    )
    mine = [hashlib.sha256(written(factorial_of(shuffle)).encode()).hexdigest() for shuffle in (0, 3)]
    assert {done.stdout.strip(), *mine} == {mine[0]}


def factorial_of(shuffle: int) -> Recorded:
    """The factorial from rows in another order."""
    plan = planned("factorial", NAMES[:2], range(4))
    y = {"base": (0.50, 0.51, 0.49, 0.52), "scc": (0.56, 0.58, 0.55, 0.57), "cyclic": (0.51, 0.5, 0.5, 0.53)}
    return ablation(plan, {arm: by_seed(*its) for arm, its in (y | {"full": y["scc"][::-1]}).items()}, shuffle=shuffle)


def test_verdicts_stand_in_words_with_their_intervals() -> None:
    text = " ".join("".join(Read(text_of("leave_one_out")).text).split())
    assert "▼ no_scc: worsescc helps-0.0406 [-0.0500, -0.0312], p Holm .016" in text
    assert (
        "■ no_cyclic: equivalentcyclic does not matter within ±0.01-0.0001 [-0.0052, +0.0050], p .004 of a larger"
        in text
    )
    assert "○ no_mi: undecidednot shown at 9 seeds+0.012 [+0.000, +0.024], p Holm .094" in text
    assert "▲ no_kl_f: better" in text and "5 arms" not in text and "arms5" in text


def test_one_seed_says_so_and_claims_nothing() -> None:
    text = text_of("one_seed")
    assert "One seed was run, so no verdict is given." in text and text.count("One seed has no interval.") >= 3
    assert '<ul class="verdicts"' not in text and "No run failed." in text
    cells = [str(attrs.get("class")) for tag, attrs in Read(text).tags if tag in ("td", "li")]
    assert not [its for its in cells if {"better", "worse", "equivalent"} & set(its.split())]


def test_what_failed_is_named_with_its_reason() -> None:
    plan = planned("leave_one_out", NAMES[:1], range(5))
    values = {"full": by_seed(0.612, 0.655, 0.587, 0.634, 0.601), "no_scc": by_seed(0.571, None, 0.56, 0.577, None)}
    read = Read(written(ablation(plan, values)))
    failed = next(table for table in read.tables if table[0][:2] == ["configuration", "seed"])
    assert failed[1:] == [["no_scc", seed, "diverged", "8", "kl_f is not finite"] for seed in ("1", "4")]
    assert any(["no_scc", "3/5 (2 diverged)", "2/5 [0.12, 0.77]", "2 : 0, p .500"] in table for table in read.tables)
    assert "failed2" in "".join(read.text).replace("\n", "")
    assert "computed on the 3 of 5 seeds where both trained" in "".join(read.text)


def test_cost_and_provenance_are_those_of_the_runs() -> None:
    read = Read(text_of("leave_one_out"))
    cost = next(table for table in read.tables if table[0][0] == "of")
    assert cost[1] == ["full", "9", "0", "14.0 ± 2.7", "0.900", "0.000", "500"]  # seconds 10 ... 18, 9 x 360 s of CPU
    assert cost[-1] == ["all", "45", "0", "14.0 ± 2.6", "4.500", "0.000", "500"]
    identity = dict(next(table for table in read.tables if table[0] == ["what", "value"])[1:])
    assert identity["data digest"] == "d1gest" and identity["git commit"] == "c0ffee"
    assert identity["run"] == "1970-01-01 00:00 to 1970-01-01 00:01 UTC"
    links = [str(attrs["href"]) for tag, attrs in read.tags if tag == "a" and str(attrs["href"]).startswith("http")]
    assert links[0].endswith("/#/experiments/1/runs/study") and len(links) == 1 + 45
    assert links[1].endswith("/#/experiments/1/runs/full.0")
    assert "git checkout c0ffee\nablate sweep s.yaml --set train.epochs=8" in "".join(read.text)


def test_runs_that_differ_in_version_are_told() -> None:
    its = b()
    its.cells_by_run["full.0"].tags["ablate.torch"] = "2.12.0"
    text = written(its)
    assert "2.12.0 (1 runs); 2.13.0 (44 runs)" in text and "The runs do not share one torch: compare with care." in text


def test_a_search_that_confirmed_nothing_claims_nothing() -> None:
    text = written(searched(confirm=False))
    assert "Nothing was confirmed on fresh seeds, so nothing is claimed" in text and '<ul class="verdicts"' not in text
    assert "Search: 13 planned: 11 complete, 1 pruned, 1 failed (1 diverged)." in text


def test_a_path_has_a_page_that_claims_nothing() -> None:
    plan = planned("path", NAMES[:2], range(2))
    value = {"base": 0.5, "scc": 0.6, "cyclic": 0.55, "full": 0.62}
    text = written(ablation(plan, {arm: by_seed(y, y + 0.001) for arm, y in value.items()}))
    assert "From all off, the best flips were scc" in text and "figure-forest" not in text and "figure-curves" in text


STAGES: dict[str, Any] = {
    "nothing has run": lambda plan: {},
    "one cell has": lambda plan: {plan.arms[0].name: {0: 0.5}},
    "all diverged": lambda plan: {arm.name: dict.fromkeys(range(5)) for arm in plan.arms},
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", ["leave_one_out", "cumulative", "factorial", "path"])
def test_there_is_a_page_at_every_stage_and_it_claims_nothing_early(kind: str, stage: str) -> None:
    plan = planned(kind, NAMES[:2], range(5))
    its = ablation(plan, STAGES[stage](plan))
    drawn = [one for one in figures(its) if one.name != "curves_elbo"]
    read = Read(page(its, drawn))
    assert {"forest", "paired", "interaction"}.isdisjoint(one.name for one in drawn)
    cells = [str(attrs.get("class")) for tag, attrs in read.tags if tag in ("td", "li")]
    assert not [its for its in cells if {"better", "worse", "equivalent"} & set(its.split())]
    said = " ".join("".join(read.text).split())
    assert "No run failed" in said if stage != "all diverged" else "Runs that failed" in said


def test_sequential_seeds_show_their_looks() -> None:
    plan = planned("leave_one_out", NAMES[:2], Sequential(12, step=4))
    noise = [0.001 * ((7 * seed) % 5) for seed in range(12)]
    values = {
        "full": {seed: 0.6 + noise[seed] for seed in range(12)},
        "no_scc": {seed: 0.5 + 0.5 * noise[seed] for seed in range(8)},
        "no_cyclic": {seed: 0.6 + noise[(seed + 3) % 12] for seed in range(12)},
    }
    its = ablation(plan, values)
    read = Read(page(its, [plot for plot in figures(its) if plot.name == "forest"]))
    looks = next(table for table in read.tables if table[0][0] == "look")
    assert [line[1:3] + line[-1:] for line in looks[1:3]] == [
        ["8", "no_scc", "reject"],
        ["8", "no_cyclic", "go on"],
    ]
    said = " ".join("".join(read.text).split())
    assert "seedsup to 12" in said and re.search(
        r"▼ no_scc: worsescc helps.*?-0\.10\d* \[.*?\], sequential p \.008", said
    )
    assert "with an interval that holds at all looks at once" in said


def test_the_question_is_the_comment_of_the_study_file(tmp_path: Path) -> None:
    assert question_of(tmp_path) == ""
    (tmp_path / "study.yaml").write_text("# Does it help,\n#   or hinder?\nname: s\n# not this\n")
    assert question_of(tmp_path) == "Does it help, or hinder?"
    assert "<p>Does it help, or hinder?</p>" in written(factorial_of(0), question_of(tmp_path))
