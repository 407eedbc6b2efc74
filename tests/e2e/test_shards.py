"""A change in parts: each hunk is in exactly one of them, and together they are the review of the whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilo_review.core.outcome import Entry, State
from kilo_review.plan.scope import Selection
from kilo_review.source.diff import FileChange, Hunk
from tests.support.fakes.openai import LlamaServer
from tests.support.forges import Forge
from tests.support.wide import EVERY, FILES, finding_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Repo, Result, Runner

SKIPPED = Entry("x", 0, 0, 0, 0, State.SKIPPED, "binary", is_hunk=False)


def selection_of(sizes: list[int]) -> Selection:
    hunks = [Hunk("f", 1, 1, at, 1, 1, 1, "", sum(sizes[:at]), sum(sizes[: at + 1])) for at in range(len(sizes))]
    file = FileChange("f", None, "M", "100644", "100644", "", "", 0, 0, is_binary=False, hunks=tuple(hunks))
    return Selection(tuple((file, hunk) for hunk in hunks), (SKIPPED,))


@given(st.lists(st.integers(1, 5000), max_size=60), st.integers(1, 12))
def test_each_hunk_is_in_one_shard_and_they_are_about_the_same_size(sizes: list[int], of: int) -> None:
    whole = selection_of(sizes)
    parts = [whole.shard(index, of) for index in range(1, of + 1)]
    assert [each for part in parts for each in part.chosen] == list(whole.chosen)
    assert [row for part in parts for row in part.left_out] == [SKIPPED]
    for part in parts:
        assert sum(hunk.end - hunk.begin for _, hunk in part.chosen) <= sum(sizes) / of + max(sizes, default=0)


@pytest.fixture
def wide(make_repo: Callable[..., Repo], tmp_path: Path) -> Forge:
    made = make_repo("hub")
    made.commit("first")
    made.commit("second")
    made.git("checkout", "-q", "-b", "topic")
    for number in range(FILES):
        made.stage(f"file{number:02}.py", "".join(f"value_{number}_{line} = {line}\n" for line in range(150)))
    made.stage("picture.png", b"\x89PNG\0\0")
    made.commit("many")
    made.git("checkout", "-q", "main")
    forge = Forge(made, tmp_path)
    forge.propose()
    return forge


@pytest.fixture
def server() -> Iterator[LlamaServer]:
    with LlamaServer(slots=4, window=4096, answer=finding_in) as fake:
        yield fake


@pytest.fixture
def shards(wide: Forge, server: LlamaServer, kilo: Runner, tmp_path: Path) -> Callable[..., list[Path]]:
    """The reports of so many shards, each from a clone of its own."""

    def made(of: int) -> list[Path]:
        files = []
        for index in range(1, of + 1):
            file = tmp_path / f"shard{index}.json"
            done = review(wide, server, kilo, "--shard", f"{index}/{of}", "--output", f"json={file}")
            assert done.code == 0, done.talk
            assert f"this is shard {index} of {of}" in done.text
            files.append(file)
        return files

    return made


def review(wide: Forge, server: LlamaServer, kilo: Runner, *arguments: str) -> Result:
    words = ("--provider", "openai", "--base-url", server.url, "--option", "num_ctx=4096", "--no-cache")
    return kilo("ci", *words, *arguments, cwd=wide.clone().path, env=wide.pull_request())


@pytest.mark.long
def test_shards_together_are_the_review_of_the_whole(
    shards: Callable[..., list[Path]], wide: Forge, server: LlamaServer, kilo: Runner
) -> None:
    whole = review(wide, server, kilo, "--format", "json").json()
    files = shards(3)
    done = kilo("merge", *map(str, reversed(files)), "--format", "json")
    assert done.code == 0, done.talk
    merged = done.json()
    assert [each["title"] for each in merged["findings"]] == EVERY
    assert merged["findings"] == whole["findings"]
    assert merged["target"] == whole["target"]
    counts = ("files", "hunks", "reviewed", "cached", "skipped", "not_reviewed")
    assert {name: merged["coverage"][name] for name in counts} == {name: whole["coverage"][name] for name in counts}
    rows = {json.dumps(row) for row in merged["coverage"]["entries"]}
    assert rows == {json.dumps(row) for row in whole["coverage"]["entries"]}
    assert (merged["outcome"], merged["shard"]) == ("findings", None)
    (row,) = merged["egress"]
    assert row["url"] == server.url
    assert all(json.loads(file.read_text())["coverage"]["hunks"] for file in files)


@pytest.mark.long
def test_a_missing_shard_is_an_incomplete_review(shards: Callable[..., list[Path]], kilo: Runner) -> None:
    first, _, third = shards(3)
    done = kilo("merge", str(first), str(third))
    assert done.code == 3
    assert "of 3 shards these are missing: 2" in done.text
    assert "Wrong 0" in done.text
    assert kilo("merge", str(first), str(third), "--on-unavailable", "allow").code == 0
    report = kilo("merge", str(first), str(third), "--format", "json").json()
    assert report["outcome"] == "incomplete"
    assert "missing: 2" in report["failure"]


@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "newer", "other"])
@pytest.mark.long
def test_a_shard_that_cannot_be_read_is_a_missing_one(
    shards: Callable[..., list[Path]], kilo: Runner, damage: str
) -> None:
    first, second = shards(2)
    text = second.read_text()
    match damage:
        case "gone":
            second.unlink()
        case "cut":
            second.write_text(text[: len(text) // 2])
        case "empty":
            second.write_text("")
        case "newer":
            second.write_text(text.replace('"version": 1', '"version": 2'))
        case "other":
            second.write_text('{"version": 1, "findings": 7}')
    done = kilo("merge", str(first), str(second))
    assert done.code == 3
    assert second.name in done.text
    assert "missing: 2" in done.text
    assert "Wrong 0" in done.text
    assert kilo("merge", str(second)).code == 2


@pytest.mark.long
def test_shards_that_do_not_belong_together_are_wrong_usage(
    shards: Callable[..., list[Path]], kilo: Runner, tmp_path: Path
) -> None:
    first, second = shards(2)
    report = json.loads(second.read_text())

    def told(**other: Any) -> str:
        file = tmp_path / "other.json"
        file.write_text(json.dumps(report | other))
        done = kilo("merge", str(first), str(file))
        assert done.code == 2
        return done.talk

    assert "are reports on different changes" in told(target=report["target"] | {"head": "0" * 40})
    assert "are not shards of one division" in told(shard={"index": 2, "of": 3})
    assert "are not shards of one division" in told(shard=None)
    assert "are the same shard" in told(shard=report["shard"] | {"index": 1})


@pytest.mark.long
def test_shards_with_different_settings_are_wrong_usage(
    shards: Callable[..., list[Path]], wide: Forge, server: LlamaServer, kilo: Runner, tmp_path: Path
) -> None:
    first, _ = shards(2)
    other = tmp_path / "other.json"
    review(wide, server, kilo, "--shard", "2/2", "--exclude", "file00.py", "--output", f"json={other}")
    done = kilo("merge", str(first), str(other))
    assert done.code == 2
    assert "hunks may be in none of them" in done.talk
    assert "Give each shard the same settings" in done.talk


@pytest.mark.long
def test_a_shard_that_did_not_find_the_change_is_a_missing_one(
    shards: Callable[..., list[Path]], wide: Forge, server: LlamaServer, kilo: Runner, tmp_path: Path
) -> None:
    first, _ = shards(2)
    lost = tmp_path / "lost.json"
    words = ("--provider", "openai", "--base-url", server.url, "--shard", "2/2", "--no-fetch")
    shallow = wide.clone()
    done = kilo("ci", *words, "--output", f"json={lost}", cwd=shallow.path, env=wide.pull_request())
    assert done.code == 3, done.talk
    done = kilo("merge", str(first), str(lost))
    assert done.code == 3
    assert "missing: 2" in done.text
    assert "fetch-depth" in done.text
    assert "Wrong 0" in done.text
    alone = kilo("merge", str(lost))
    assert alone.code == 3
    assert "fetch-depth" in alone.text
    assert "missing: 1" in alone.text


FIELDS = [
    ("findings", 0, "severity"), ("findings", 0, "line"), ("findings", 0, "status"), ("findings", 0, "blocking"),
    ("coverage", "entries"), ("coverage", "entries", 0, "state"), ("usage", "seconds"), ("egress", 0, "bytes_sent"),
    ("model", "window"), ("target", "kind"), ("shard", "index"),
]  # fmt: skip


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: ".".join(map(str, field)))
@pytest.mark.long
def test_a_field_of_another_kind_is_damage(
    shards: Callable[..., list[Path]], kilo: Runner, field: tuple[str | int, ...]
) -> None:
    (file,) = shards(1)
    report = json.loads(file.read_text())
    place: Any = report
    for step in field[:-1]:
        place = place[step]
    place[field[-1]] = [{}]
    file.write_text(json.dumps(report))
    done = kilo("merge", str(file))
    assert done.code == 2
    assert "is damaged" in done.talk


@pytest.mark.long
def test_one_whole_report_can_be_shown_in_another_form(
    wide: Forge, server: LlamaServer, kilo: Runner, tmp_path: Path
) -> None:
    file = tmp_path / "whole.json"
    done = review(wide, server, kilo, "--output", f"json={file}")
    again = kilo("merge", str(file), cwd=tmp_path)
    assert again.code == done.code == 0
    assert again.text.count("Wrong ") == FILES


@pytest.mark.parametrize("value", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2", "1/99999"])
def test_a_shard_that_is_none_is_wrong_usage(kilo: Runner, value: str) -> None:
    done = kilo("ci", "--shard", value)
    assert done.code == 2
    assert "is not one of so many, such as 2/4" in done.talk


@pytest.mark.long
def test_an_empty_shard_is_no_failure(shards: Callable[..., list[Path]], kilo: Runner) -> None:
    files = shards(FILES + 3)
    done = kilo("merge", *map(str, files), "--format", "json")
    assert done.code == 0
    assert [each["title"] for each in done.json()["findings"]] == EVERY
    assert done.json()["notes"] == []


@pytest.mark.long
def test_what_blocks_can_be_decided_by_whoever_merges(shards: Callable[..., list[Path]], kilo: Runner) -> None:
    files = shards(2)
    assert kilo("merge", *map(str, files)).code == 0
    done = kilo("merge", *map(str, files), "--fail-on", "minor", "--format", "json")
    assert done.code == 1
    assert all(finding["blocking"] for finding in done.json()["findings"])
