"""Traps on the way from git's bytes to files, hunks and lines. Each label carries the number of its trap."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from kilo_review.core.errors import DiffMismatchError
from kilo_review.plan.deletion import TOLD
from kilo_review.source.diff import Diff, FileChange, parse_diff_tree
from kilo_review.source.patch import parse_patch
from kilo_review.source.repo import Repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repo, Result, Runner

DRY = ("--dry-run", "--format", "json")
COMMIT_ID = "1" * 40


def staged(repo: Repo) -> Diff:
    """What is staged, read and parsed in this process."""
    with Repository(repo.path) as opened:
        return parse_diff_tree(*opened.diff(opened.head_tree(), opened.snapshot_index()))


def added_lines(diff: Diff) -> list[str]:
    return [line.text for file in diff.files for hunk in file.hunks for line in diff.lines(hunk) if line.kind == "+"]


def facts(change: FileChange) -> tuple[str, str, int, int]:
    return change.status, change.path, change.added, change.removed


def rows(done: Result) -> list[tuple[str, int, int, str, str | None]]:
    """The coverage as (path, added, removed, state, reason)."""
    entries = done.json()["coverage"]["entries"]
    return [(row["path"], row["added"], row["removed"], row["state"], row["reason"]) for row in entries]


def prompt_text(kilo: Runner, *arguments: str) -> str:
    """All user messages that would be sent."""
    done = kilo("--show-prompt", "--format", "json", *arguments)
    assert done.code == 0, done.talk
    return "\n".join(str(message["content"]) for request in json.loads(done.stdout) for message in request[1:])


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


# Names


NAMES = {
    "trap-01-b-slash-in-folder": "x b/y.py",
    "trap-01-b-slash-twice": "a b/c b/d b/e",
    "trap-07-quote": 'say "hi".py',
    "trap-07-tab": "tab\tname.py",
    "trap-07-newline": "new\nline.py",
    "trap-07-return": "re\rturn.py",
    "trap-07-form-feed": "form\ffeed.py",
    "trap-07-backslash": "back\\slash.py",
    "trap-07-not-ascii": "日本ü.py",
    "trap-08-latin-1-bytes": "lat\udce9.py",
    "trap-09-leading-space": " sp ace.py",
    "trap-09-looks-like-a-prefix": "b/x.py",
    "trap-09-looks-like-a-mnemonic-prefix": "i/w/x.py",
    "trap-16-looks-like-a-header": "+++ b/x",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_name_survives_add_change_mode_rename_and_deletion(repo: Repo, name: str) -> None:
    raw = os.fsencode(name)
    repo.stage(raw, "one\ntwo\nthree\nfour\n")
    repo.stage("other.py", "1\n")
    assert [facts(file) for file in staged(repo).files] == sorted(
        [("A", name, 4, 0), ("A", "other.py", 1, 0)], key=lambda fact: os.fsencode(fact[1])
    )
    repo.commit()
    repo.stage(raw, "one\n2\nthree\nfour\n")
    assert [facts(file) for file in staged(repo).files] == [("M", name, 1, 1)]
    repo.commit()
    repo.git("update-index", "--chmod=+x", "--", raw)
    assert [facts(file) for file in staged(repo).files] == [("M", name, 0, 0)]
    repo.commit()
    repo.git("mv", "--", raw, b"moved " + raw.replace(b"/", b"_"))
    (renamed,) = staged(repo).files
    assert (renamed.status, renamed.old_path, renamed.path) == ("R", name, "moved " + name.replace("/", "_"))
    repo.git("reset", "-q", "--hard")
    repo.git("rm", "-q", "-f", "--", raw)
    assert [facts(file) for file in staged(repo).files] == [("D", name, 0, 4)]


@pytest.mark.parametrize("quote_path", ["true", "false"])
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_name_survives_a_piped_patch(repo: Repo, name: str, quote_path: str) -> None:
    raw = os.fsencode(name)
    diff = ("-c", f"core.quotePath={quote_path}", "diff", "--cached", "-M")
    repo.stage(raw, "one\ntwo\nthree\nfour\n")
    repo.stage(raw + b".empty", "")
    assert [facts(file) for file in parse_patch(repo.git(*diff).stdout).files] == [
        ("A", name, 4, 0),
        ("A", name + ".empty", 0, 0),
    ]
    repo.commit()
    repo.git("update-index", "--chmod=+x", "--", raw)
    assert [facts(file) for file in parse_patch(repo.git(*diff).stdout).files] == [("M", name, 0, 0)]
    repo.git("mv", "--", raw, raw + b".moved")
    (renamed,) = parse_patch(repo.git(*diff).stdout).files
    assert (renamed.status, renamed.old_path, renamed.path) == ("R", name, name + ".moved")
    repo.commit()
    repo.git("rm", "-q", "-f", "--", raw + b".moved", raw + b".empty")
    assert [facts(file) for file in parse_patch(repo.git(*diff).stdout).files] == [
        ("D", name + ".empty", 0, 0),
        ("D", name + ".moved", 0, 4),
    ]


def test_trap_01_a_strange_name_does_not_hide_its_neighbours(repo: Repo, kilo: Runner) -> None:
    repo.stage("x b/y.py", "1\n")
    repo.stage("z.py", "2\n")
    assert rows(kilo(*DRY)) == [("x b/y.py", 1, 0, "planned", None), ("z.py", 1, 0, "planned", None)]
    assert "FILE x b/y.py (new file)" in prompt_text(kilo)


def test_trap_08_a_name_that_is_not_utf_8_can_be_shown_everywhere(repo: Repo, kilo: Runner) -> None:
    repo.stage(b"lat\xe9.py", "1\n")
    finding = {"file": "lat\\xe9.py", "line": 1, "code": "1", "severity": "critical", "type": "bug"}
    script_options = kilo.scripted({"findings": [finding | {"title": "One", "problem": "It is one."}]})
    assert rows(kilo(*DRY)) == [("lat\\xe9.py", 1, 0, "planned", None)]
    assert "FILE lat\\xe9.py (new file)" in prompt_text(kilo)
    done = kilo(*script_options, env={"PYTHONIOENCODING": "ascii:strict"})
    assert done.code == 1
    assert done.text.startswith("lat\\xe9.py:1: critical: One")
    assert "Traceback" not in done.talk


def test_trap_08_a_locale_without_utf_8_changes_nothing(repo: Repo, kilo: Runner) -> None:
    repo.stage(b"lat\xe9.py", "1\n")
    repo.stage("gen/\u00fc.py", "2\n")
    repo.stage(".gitattributes", "gen/** linguist-generated\n")
    plain = kilo(*DRY)
    assert ("gen/\u00fc.py", 1, 0, "skipped", "generated file (linguist-generated)") in rows(plain)
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert kilo(*DRY, env=ascii_only).stdout == plain.stdout


PREFIXES = {
    "trap-09-noprefix": ("diff.noprefix=true",),
    "trap-09-mnemonic": ("diff.mnemonicPrefix=true",),
}


@pytest.mark.parametrize("settings", PREFIXES.values(), ids=PREFIXES)
@pytest.mark.parametrize("name", ["b/x.py", "a/x.py", "c/d.py", "w/x.py", "src/x.py", " sp ace.py"])
def test_no_prefix_setting_of_git_shortens_a_name(repo: Repo, name: str, settings: tuple[str, ...]) -> None:
    options = [word for setting in settings for word in ("-c", setting)]
    repo.stage(name, "1\n")
    new = parse_patch(repo.git(*options, "diff", "--cached").stdout)
    assert [facts(file) for file in new.files] == [("A", name, 1, 0)]
    repo.commit()
    repo.git("update-index", "--chmod=+x", "--", name)
    mode = parse_patch(repo.git(*options, "diff", "--cached").stdout)
    assert [(file.path, file.old_path, file.new_mode) for file in mode.files] == [(name, None, "100755")]
    repo.stage(name, "2\n")
    changed = parse_patch(repo.git(*options, "diff", "--cached").stdout)
    assert [facts(file) for file in changed.files] == [("M", name, 1, 1)]
    repo.git("rm", "-q", "-f", "--", name)
    gone = parse_patch(repo.git(*options, "diff", "--cached").stdout)
    assert [facts(file) for file in gone.files] == [("D", name, 0, 1)]


PAIRS = {
    "bitbucket": ("src://", "dst://"),
    "folders": ("old/", "new/"),
    "with a common ending": ("left/", "right/"),
    "several folders": ("before/the/change/", "after/the/change/"),
    "one side alone": ("", "new/"),
    "the other side alone": ("old/", ""),
    "the same, as git's new one": ("x/", "b/"),
    "marks": ("old-", "new-"),
    "letters": ("old", "new"),
    "longer than git's": ("a/old/", "b/new/"),
    "blanks": ("my old/", "my new/"),
    "quoted": ("vorh\u00e9r/", "n\u00e4chher/"),
    "swapped": ("b/", "a/"),
    "none": ("", ""),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_any_prefixes_that_git_is_told_to_write_are_recognised(repo: Repo, pair: tuple[str, str]) -> None:
    old, new = pair
    names = ["a/x.py", "b/x.py", "src/x.py", "sp ace/x y.py", "x.py", 'q"uote.py', "x b/y.py", "\u00e9/x.py", ".dot"]
    for name in names:
        repo.stage(name, "one\ntwo\n")
        repo.stage(f"{name}.gone", f"{name}\ngone\n")
        repo.stage(f"{name}.bin", f"\0{name}")
        repo.stage(f"{name}.from", f"{name}\n" * 5)
    repo.commit()
    for name in names:
        repo.stage(name, "one\n2\n")
        repo.stage(f"{name}.new", "new\n")
        repo.stage(f"{name}.empty", "")
        repo.stage(f"{name}.bin", f"\0{name}.")
        repo.git("rm", "-q", "--", f"{name}.gone")
        repo.git("mv", "--", f"{name}.from", f"{name}.to")
    for context in ("-U3", "-U0"):
        data = repo.git("diff", "--cached", "-M", context, f"--src-prefix={old}", f"--dst-prefix={new}").stdout
        expected = [facts(each) for each in staged(repo).files]
        assert [facts(each) for each in parse_patch(data).files] == expected
        assert [each.old_path for each in parse_patch(data).files] == [each.old_path for each in staged(repo).files]


@pytest.mark.parametrize("pair", [PAIRS[name] for name in ("bitbucket", "folders", "with a common ending", "marks")])
@pytest.mark.parametrize("kind", ["new", "changed", "binary", "gone"])
def test_one_file_is_enough_to_recognise_them(repo: Repo, pair: tuple[str, str], kind: str) -> None:
    name = "src/app.py"
    if kind != "new":
        repo.stage(name, "one\n")
        repo.commit()
    if kind == "gone":
        repo.git("rm", "-q", name)
    else:
        repo.stage(name, {"new": "one\n", "changed": "two\n", "binary": "\0"}[kind])
    (file,) = parse_patch(
        repo.git("diff", "--cached", *map("--{}-prefix={}".format, ("src", "dst"), pair)).stdout
    ).files
    assert (file.path, file.old_path) == (name, None)
    assert {hunk.path for hunk in file.hunks} <= {name}


def test_the_same_prefix_on_both_sides_is_known_by_a_rename(repo: Repo) -> None:
    repo.stage("lib/a.py", "1\n2\n3\n4\n")
    repo.stage("b.py", "1\n")
    repo.commit()
    repo.git("mv", "lib/a.py", "lib/c.py")
    repo.stage("b.py", "2\n")
    data = repo.git("diff", "--cached", "-M", "--src-prefix=here/", "--dst-prefix=here/").stdout
    assert [(each.path, each.old_path) for each in parse_patch(data).files] == [
        ("b.py", None),
        ("lib/c.py", "lib/a.py"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("old/x.py", "new/x.py", "new/x.py"),  # of `diff -ru`, where folders may be what they look like
        ("test_a.py", "best_a.py", "best_a.py"),
        ("x.py.orig", "x.py", "x.py"),
        ("src://x.py", "dst://x.py", "x.py"),
        ("a/x.py", "b/x.py", "x.py"),
        ("a/old/x.py", "b/new/x.py", "new/x.py"),  # of `git diff --no-index`
        ("a.py", "b.py", "b.py"),
    ],
)
def test_other_names_are_left_as_they_are(old: str, new: str, path: str) -> None:
    plain = f"--- {old}\n+++ {new}\n@@ -1 +1 @@\n-1\n+2\n"
    (file,) = parse_patch(plain.encode()).files
    assert (file.path, {hunk.path for hunk in file.hunks}) == (path, {path})
    if not old.startswith("old/"):
        (file,) = parse_patch(f"diff --git {old} {new}\n{plain}".encode()).files
        assert file.path == path


def test_patches_with_different_prefixes_may_follow_each_other() -> None:
    text = "".join(
        f"diff --git {old}{name} {new}{name}\n--- {old}{name}\n+++ {new}{name}\n@@ -1 +1 @@\n-1\n+2\n"
        for old, new in (("a/", "b/"), ("src://", "dst://"), ("", ""), ("i/", "w/"), ("old/", "new/"))
        for name in ("lib/x.py", "b/y.py")
    )
    assert [each.path for each in parse_patch(text.encode()).files] == ["lib/x.py", "b/y.py"] * 5


def test_a_patch_of_bitbucket_is_reported_under_its_names(
    buggy: Repo, kilo: Runner, division: dict[str, object]
) -> None:
    patch = buggy.git("diff", "--cached", "--src-prefix=src://", "--dst-prefix=dst://").stdout
    done = kilo("-", *kilo.scripted({"findings": [division]}), "--format", "json", stdin=patch)
    assert [each["path"] for each in done.json()["findings"]] == ["app.py"]
    assert [each["path"] for each in done.json()["coverage"]["entries"]] == ["app.py"]


# What cannot be read is an error, never "nothing changed"


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(("color.ui=always",), id="trap-02-all-coloured"),
        pytest.param(("color.ui=always", "color.diff.meta=normal"), id="trap-02-only-hunks-coloured"),
        pytest.param(
            ("color.ui=always", "color.diff.meta=normal", "color.diff.frag=normal", "color.diff.func=normal"),
            id="trap-02-only-lines-coloured",
        ),
    ],
)
def test_a_coloured_patch_is_refused(buggy: Repo, kilo: Runner, settings: tuple[str, ...]) -> None:
    options = [word for setting in settings for word in ("-c", setting)]
    patch = buggy.git(*options, "diff", "--cached").stdout
    assert b"\x1b[" in patch
    done = kilo("-", *DRY, stdin=patch)
    assert done.code == 3
    assert "not reviewed: " in done.talk


def test_trap_02_output_of_an_external_diff_is_refused(repo: Repo, kilo: Runner) -> None:
    done = kilo("-", *DRY, stdin=b"app.py: 3 lines differ\n")
    assert done.code == 3
    assert "standard input holds text but no patch" in done.talk


@pytest.mark.parametrize(
    "notice",
    [
        pytest.param(b"* Unmerged path lost.py\n", id="trap-02-unmerged-path"),
        pytest.param(b"Submodule sm 1111111..2222222:\n  > a commit\n", id="trap-02-submodule-log"),
    ],
)
def test_what_a_patch_only_mentions_is_not_passed_over(buggy: Repo, notice: bytes) -> None:
    patch = notice + buggy.git("diff", "--cached").stdout
    with pytest.raises(DiffMismatchError):
        parse_patch(patch)


TWO_LINES = b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-one\n+two\n"


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param(TWO_LINES.replace(b"+two\n", b""), id="trap-02-ends-inside-a-hunk"),
        pytest.param(TWO_LINES.replace(b"+1 @@", b"+1,2 @@"), id="trap-02-hunk-shorter-than-stated"),
        pytest.param(TWO_LINES + b"+three\n", id="trap-02-hunk-longer-than-stated"),
        pytest.param(TWO_LINES.replace(b"@@ -1 +1 @@", b"@@ -1 +x @@"), id="trap-02-damaged-hunk-header"),
        pytest.param(TWO_LINES + b"@@ -9 +x @@\n-a\n+b\n", id="trap-02-damaged-second-header"),
        pytest.param(b"diff --git a/f b/f\nindex 1..2 100644\n--- a/f\n+++ b/f\n", id="trap-02-names-without-a-hunk"),
        pytest.param(TWO_LINES.partition(b"+++ b/f\n")[2] + TWO_LINES, id="trap-02-a-hunk-without-names"),
        pytest.param(TWO_LINES.replace(b"-1 ", b"-%s " % (b"9" * 5000)), id="trap-02-a-line-number-of-5000-digits"),
    ],
)
def test_a_damaged_patch_is_refused(patch: bytes) -> None:
    with pytest.raises(DiffMismatchError):
        parse_patch(patch)


@pytest.mark.parametrize(
    ("first", "path"),
    [(b'diff --git x"', '"'), (rb'diff --git "a/\8" "b/\8"', "8"), (rb'diff --git "a/\8" "b/\101\t"', "A\t")],
)
def test_a_first_line_that_git_would_not_write_still_names_a_file(first: bytes, path: str) -> None:
    assert [file.path for file in parse_patch(first + b"\nold mode 100644\nnew mode 100755\n").files] == [path]


RAW = f":100644 100644 {'1' * 40} {'2' * 40} M\0f\0\0".encode()
SECTION = b"diff --git a/f b/f\n" + TWO_LINES


@pytest.mark.parametrize(
    ("data", "counted"),
    [
        pytest.param(RAW, b"1\t1\tf\0", id="trap-02-patch-missing"),
        pytest.param(RAW + b"\x1b[1mdiff --git a/f b/f\x1b[m\n", b"1\t1\tf\0", id="trap-02-coloured"),
        pytest.param(RAW + SECTION, b"2\t1\tf\0", id="trap-02-fewer-lines-than-counted"),
        pytest.param(RAW + SECTION, b"1\t1\tg\0", id="trap-02-another-file-counted"),
        pytest.param(RAW + SECTION, b"", id="trap-02-nothing-counted"),
        pytest.param(RAW + SECTION + SECTION, b"1\t1\tf\0", id="trap-02-more-sections-than-files"),
        pytest.param(RAW + SECTION.replace(b"@@", b"@@@"), b"1\t1\tf\0", id="trap-03-combined"),
        pytest.param(RAW + SECTION[:-5], b"1\t1\tf\0", id="trap-21-cut-at-the-end"),
        pytest.param(RAW + SECTION, b"1\t1\tf\0" * 2, id="trap-02-counted-twice"),
        pytest.param(RAW + SECTION, b"one\t1\tf\0", id="trap-02-no-number"),
        pytest.param(RAW + SECTION, b"1\t1", id="trap-02-half-a-count"),
        pytest.param(RAW[:-4] + SECTION, b"1\t1\tf\0", id="trap-02-half-a-record"),
        pytest.param(b":f\0f\0\0" + SECTION, b"1\t1\tf\0", id="trap-02-no-record"),
    ],
)
def test_a_diff_that_does_not_match_gits_own_list_is_refused(data: bytes, counted: bytes) -> None:
    assert parse_diff_tree(RAW + SECTION, b"1\t1\tf\0").files[0].added == 1
    with pytest.raises(DiffMismatchError):
        parse_diff_tree(data, counted)


@pytest.fixture
def merge(repo: Repo) -> str:
    """A merge commit whose result differs from both parents; main is its first parent."""
    repo.commit("base", f__txt="1\n2\n3\n")
    repo.git("checkout", "-q", "-b", "topic")
    repo.commit("theirs", f__txt="1\n2\ntheirs\n", topic__txt="new\n")
    repo.git("checkout", "-q", "main")
    repo.commit("ours", f__txt="1\n2\nours\n")
    repo.git("merge", "-q", "topic", check=False)
    return repo.commit("merge", f__txt="1\n2\nboth\n")


@pytest.mark.parametrize("form", ["-c", "--cc"])
def test_trap_03_a_combined_diff_is_refused(repo: Repo, merge: str, kilo: Runner, form: str) -> None:
    patch = repo.git("show", form, merge).stdout
    assert b"@@@" in patch
    done = kilo("-", *DRY, stdin=patch)
    assert done.code == 3
    assert "combined diff" in done.talk


def test_trap_03_a_merge_commit_is_compared_with_its_first_parent(repo: Repo, merge: str, kilo: Runner) -> None:
    assert rows(kilo(merge, *DRY)) == [("f.txt", 1, 1, "planned", None), ("topic.txt", 1, 0, "planned", None)]


# Content


LINE_ENDS = {
    "vertical-tab": "\x0b",
    "form-feed": "\x0c",
    "file-separator": "\x1c",
    "record-separator": "\x1e",
    "next-line": "\x85",
    "line-separator": "\u2028",
    "paragraph-separator": "\u2029",
    "lone-return": "\r",
    "form-feed-plus": "\x0c+",
    "lone-return-minus": "\r-",
}


@pytest.mark.parametrize("character", LINE_ENDS.values(), ids=[f"trap-04-{name}" for name in LINE_ENDS])
def test_only_a_line_feed_ends_a_line(repo: Repo, character: str) -> None:
    repo.commit("base", f__py="first\nlast\n")
    repo.stage("f.py", f"first\nx{character}y\nlast\nafter\n")
    diff = staged(repo)
    (hunk,) = diff.files[0].hunks
    assert diff.files[0].added == 2
    assert [(line.kind, line.new, line.text) for line in diff.lines(hunk)] == [
        (" ", 1, "first"),
        ("+", 2, f"x{character}y"),
        (" ", 3, "last"),
        ("+", 4, "after"),
    ]


def test_trap_04_dos_line_ends_do_not_shift_numbers(repo: Repo, kilo: Runner) -> None:
    repo.commit("base", f__txt="1\r\n2\r\n3\r\n")
    repo.stage("f.txt", "1\r\n2\r\nnew\r\n3\r\n")
    patch = repo.git("diff", "--cached").stdout
    for report in (kilo(*DRY), kilo("-", *DRY, stdin=patch)):
        (row,) = report.json()["coverage"]["entries"]
        assert (row["start"], row["end"], row["added"], row["removed"]) == (1, 4, 1, 0)
    assert "   3 + new" in prompt_text(kilo)


def test_trap_05_a_latin_1_byte_costs_one_character(repo: Repo, kilo: Runner) -> None:
    repo.stage("latin.py", b"name = 'caf\xe9'\n")
    repo.stage("other.py", "fine\n")
    assert rows(kilo(*DRY)) == [("latin.py", 1, 0, "planned", None), ("other.py", 1, 0, "planned", None)]
    assert "   1 + name = 'caf\ufffd'" in prompt_text(kilo)


def test_trap_06_binary_content_is_skipped_and_said(repo: Repo, kilo: Runner) -> None:
    repo.stage("nul.bin", b"\0\1\2")
    repo.stage("utf16.txt", "text".encode("utf-16"))
    assert rows(kilo(*DRY)) == [
        ("utf16.txt", 1, 0, "planned", None),
        ("nul.bin", 0, 0, "skipped", "binary file"),
    ]


HIDING = {
    "trap-06-minus-diff": "*.py -diff\n",
    "trap-06-binary-macro": "*.py binary\n",
    "trap-06-binary-driver": "*.py diff=drv\n",
}


@pytest.mark.parametrize("attributes", HIDING.values(), ids=HIDING)
@pytest.mark.parametrize("place", [".gitattributes", ".git/info/attributes"])
def test_a_text_file_hidden_by_attributes_is_not_called_clean(
    repo: Repo, kilo: Runner, attributes: str, place: str
) -> None:
    repo.git("config", "diff.drv.binary", "true")
    if place == ".gitattributes":
        repo.commit("attributes", _gitattributes="ignored")
        repo.stage(place, attributes)
        repo.commit()
    else:
        repo.write(place, attributes)
    repo.stage("evil.py", "import os\n")
    done = kilo(*kilo.scripted({"findings": []}), "--format", "json")
    ((path, _, _, state, reason),) = rows(done)
    assert (path, state) == ("evil.py", "not_reviewed")
    assert "hide as binary" in str(reason)
    assert done.code == 3


def test_trap_06_an_attribute_in_the_change_itself_hides_nothing_silently(repo: Repo, kilo: Runner) -> None:
    repo.stage(".gitattributes", "*.py -diff\n")
    repo.stage("evil.py", "import os\n")
    states = {path: state for path, _, _, state, _ in rows(kilo(*DRY))}
    assert states == {".gitattributes": "planned", "evil.py": "not_reviewed"}


def test_trap_06_a_nul_after_byte_8000_is_reviewed_without_the_nul(repo: Repo, kilo: Runner) -> None:
    repo.stage("late.txt", b"x\n" * 4200 + b"a\0b\n")
    assert rows(kilo(*DRY)) == [("late.txt", 4201, 0, "planned", None)]
    text = prompt_text(kilo)
    assert "4201 + ab" in text
    assert "\0" not in text


def test_trap_06_a_byte_order_mark_is_content(repo: Repo, kilo: Runner) -> None:
    repo.stage("bom.py", b"\xef\xbb\xbfx = 1\n")
    assert added_lines(staged(repo)) == ["\ufeffx = 1"]
    assert rows(kilo(*DRY)) == [("bom.py", 1, 0, "planned", None)]


def test_trap_10_copies_renames_modes_and_empty_files_keep_gits_letter(repo: Repo, kilo: Runner) -> None:
    body = "".join(f"line {number}\n" for number in range(30))
    repo.commit("base", old__txt=body, tool__sh="run\n", gone__txt="")
    repo.git("mv", "old.txt", "moved.txt")
    repo.git("update-index", "--chmod=+x", "tool.sh")
    repo.git("rm", "-q", "gone.txt")
    assert [(file.status, file.path, file.old_path) for file in staged(repo).files] == [
        ("D", "gone.txt", None),
        ("R", "moved.txt", "old.txt"),
        ("M", "tool.sh", None),
    ]
    expected = [
        ("gone.txt", "empty file"),
        ("moved.txt", "renamed without a change"),
        ("tool.sh", "mode change only"),
    ]
    options = (*kilo.scripted({"findings": []}), "--format", "json")
    patch = repo.git("diff", "--cached", "-M").stdout
    for done in (kilo(*options), kilo("-", *options, stdin=patch)):
        assert [(path, reason) for path, _, _, _, reason in rows(done)] == expected
    repo.commit()
    repo.stage("made.txt", "")
    assert [facts(file) for file in staged(repo).files] == [("A", "made.txt", 0, 0)]


def test_trap_10_a_copy_in_a_patch_is_no_rename(repo: Repo, kilo: Runner) -> None:
    body = "".join(f"line {number}\n" for number in range(30))
    repo.commit("base", old__txt=body)
    repo.stage("copy.txt", body)
    patch = repo.git("diff", "--cached", "-C", "--find-copies-harder").stdout
    assert b"copy from old.txt" in patch
    assert [(file.status, file.old_path) for file in parse_patch(patch).files] == [("C", "old.txt")]
    assert rows(kilo("-", *DRY, stdin=patch)) == [("copy.txt", 0, 0, "skipped", "copied without a change")]


def test_trap_11_filling_and_emptying_a_file_is_a_modification(repo: Repo) -> None:
    repo.commit("base", empty__txt="", full__txt="1\n2\n")
    repo.stage("empty.txt", "1\n")
    repo.stage("full.txt", "")
    expected = [("M", "empty.txt", 1, 0), ("M", "full.txt", 0, 2)]
    assert [facts(file) for file in staged(repo).files] == expected
    assert [facts(file) for file in parse_patch(repo.git("diff", "--cached").stdout).files] == expected


def become_link(repo: Repo, name: str, target: str) -> None:
    (repo.path / name).unlink(missing_ok=True)
    (repo.path / name).symlink_to(target)
    repo.git("add", "--", name)


def become_submodule(repo: Repo, name: str, oid: str = COMMIT_ID) -> None:
    repo.git("rm", "-q", "-f", "--cached", "--ignore-unmatch", "--", name)
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{oid},{name}")


def test_trap_12_a_file_that_becomes_a_link_is_one_file(repo: Repo, kilo: Runner) -> None:
    repo.commit("base", turns="content\nmore\n", z__py="1\n")
    become_link(repo, "turns", "app.py")
    repo.stage("z.py", "2\n")
    assert [facts(file) for file in staged(repo).files] == [("T", "turns", 1, 2), ("M", "z.py", 1, 1)]
    report = kilo(*DRY).json()
    assert report["coverage"]["files"] == 2


def test_trap_12_a_link_that_becomes_a_file_is_reviewed(repo: Repo, kilo: Runner) -> None:
    become_link(repo, "turns", "app.py")
    repo.commit()
    (repo.path / "turns").unlink()
    repo.stage("turns", "import os\n")
    assert [facts(file) for file in staged(repo).files] == [("T", "turns", 1, 1)]
    assert "   1 + import os" in prompt_text(kilo)


@pytest.mark.parametrize(
    ("before", "after"),
    [("file", "submodule"), ("submodule", "file"), ("empty", "link"), ("link", "empty"), ("binary", "link")],
    ids=lambda word: f"trap-12-{word}",
)
def test_every_change_of_type_is_one_entry(repo: Repo, before: str, after: str) -> None:
    def make(kind: str) -> None:
        contents = {"file": b"1\n2\n", "empty": b"", "binary": b"\0\1"}
        if kind == "submodule":
            become_submodule(repo, "turns")
        elif kind == "link":
            become_link(repo, "turns", "app.py")
        else:
            (repo.path / "turns").unlink(missing_ok=True)
            repo.stage("turns", contents[kind])

    make(before)
    repo.commit()
    make(after)
    repo.stage("z.py", "1\n")
    assert [(file.status, file.path) for file in staged(repo).files] == [("T", "turns"), ("A", "z.py")]


def test_trap_13_links_and_submodules_are_skipped_and_labelled(repo: Repo, kilo: Runner) -> None:
    become_link(repo, "link", "/etc/passwd")
    become_submodule(repo, "sm")
    added = [("link", 1, 0, "skipped", "symbolic link"), ("sm", 1, 0, "skipped", "submodule")]
    assert rows(kilo(*DRY)) == added
    repo.commit()
    become_submodule(repo, "sm", "2" * 40)
    assert rows(kilo(*DRY)) == [("sm", 1, 1, "skipped", "submodule")]
    patch = repo.git("diff", "--cached", "--submodule=short").stdout
    assert rows(kilo("-", *DRY, stdin=patch)) == [("sm", 1, 1, "skipped", "submodule")]


def test_trap_14_a_binary_patch_is_one_binary_file(repo: Repo, kilo: Runner) -> None:
    repo.stage("blob.png", bytes(range(256)) * 8)
    repo.stage("z.py", "1\n")
    patch = repo.git("diff", "--cached", "--binary").stdout
    assert b"GIT binary patch" in patch
    assert rows(kilo("-", *DRY, stdin=patch)) == [
        ("z.py", 1, 0, "planned", None),
        ("blob.png", 0, 0, "skipped", "binary file"),
    ]


HONEST = b"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
UNIFIED = b"--- b.py\n+++ b.py\n@@ -1 +1 @@\n-y = 1\n+y = eval(d)\n"


@pytest.mark.parametrize(
    "hidden",
    [
        b"diff b.py.orig b.py\n1c1\n< y = 1\n---\n> y = eval(d)\n",
        b"Index: b.py\n1,2c1\n< y = 1\n---\n> y = eval(d)\n",
        b"Index: b.py\n0a1\n> y = eval(d)\n",
        *(UNIFIED.replace(b"\n", b"\n" + mark).join((mark, b"\n")) for mark in (b"  ", b"    ", b"\t", b"X", b"- ")),
    ],
    ids=["normal", "normal behind an index", "normal addition", "blanks", "four blanks", "tab", "X", "quoted"],
)
def test_a_patch_in_another_form_is_never_prose(repo: Repo, kilo: Runner, hidden: bytes) -> None:
    for patch in (HONEST + hidden, hidden + HONEST):
        done = kilo("-", *DRY, stdin=patch)
        assert (done.code, done.text) == (3, "")


def test_what_looks_like_another_form_inside_of_a_file_is_its_content(repo: Repo, kilo: Runner) -> None:
    repo.commit("before", a__patch=f"{UNIFIED.decode()}1c1\n< a\n")
    repo.stage("a.patch", f"{UNIFIED.decode()}1c1\n< b\n")
    assert rows(kilo("-", *DRY, stdin=repo.git("diff", "--cached").stdout))[0][3] == "planned"


def test_a_binary_patch_of_text_is_not_reviewed(repo: Repo, kilo: Runner) -> None:
    repo.stage(".gitattributes", "b.py binary\n")
    repo.stage("b.py", "y = eval(d)\n")
    patch = repo.git("diff", "--cached", "--binary").stdout
    assert b"GIT binary patch" in patch
    states = {row[0]: row[3] for row in rows(kilo("-", *DRY, stdin=patch))}
    assert states == {".gitattributes": "planned", "b.py": "not_reviewed"}
    done = kilo("-", *DRY, stdin=patch + b"  " + UNIFIED.replace(b"\n", b"\n  "))
    assert (done.code, "the patch has" in done.talk) == (3, True)


@pytest.mark.parametrize("suppress", ["true", "false"], ids=lambda value: f"trap-15-{value}")
def test_blank_context_lines_may_lack_their_space(repo: Repo, suppress: str) -> None:
    repo.commit("base", f__txt="1\n\n\n\n")
    repo.stage("f.txt", "2\n\n\n\n")
    repo.git("config", "diff.suppressBlankEmpty", suppress)
    piped = parse_patch(repo.git("diff", "--cached").stdout)
    for diff in (piped, staged(repo)):
        (hunk,) = diff.files[0].hunks
        assert [(line.kind, line.new) for line in diff.lines(hunk)] == [
            *(("-", None), ("+", 1)),
            *((" ", 2), (" ", 3), (" ", 4)),
        ]


HOSTILE_LINES = {
    "trap-16-old-name": "-- a/fake.py",
    "trap-16-new-name": "++ b/fake.py",
    "trap-16-git-header": "diff --git a/fake.py b/fake.py",
    "trap-16-hunk-header": "@@ -1 +1 @@",
    "trap-16-no-newline-marker": "\\ No newline at end of file",
    "trap-16-conflict": "<<<<<<< HEAD\n=======\n>>>>>>> topic",
    "trap-16-combined": "diff --cc fake.py\n@@@ -1,1 -1,1 +1,1 @@@",
    "trap-16-rename": "rename from a\nrename to b",
    "trap-16-binary": "Binary files a/x and b/x differ",
}


@pytest.mark.parametrize("content", HOSTILE_LINES.values(), ids=HOSTILE_LINES)
@pytest.mark.parametrize("context", ["0", "3"])
def test_content_that_looks_like_a_diff_is_content(repo: Repo, content: str, context: str) -> None:
    count = content.count("\n") + 1
    repo.commit("base", f__txt=f"first\n{content}\nmiddle\nlast\n")
    repo.stage("f.txt", f"first\nmiddle\n{content}\n{content}\nlast\n")
    repo.stage("z.txt", "after\n")
    piped = parse_patch(repo.git("diff", "--cached", f"-U{context}").stdout)
    for diff in (piped, staged(repo)):
        assert {file.path for file in diff.files} == {"f.txt", "z.txt"}
        assert diff.files[0].added - diff.files[0].removed == count
        assert (repo.path / "f.txt").read_text().split("\n")[-count - 2 : -2] == content.split("\n")
        shown = [line for hunk in diff.files[0].hunks for line in diff.lines(hunk)]
        staged_lines = (repo.path / "f.txt").read_text().split("\n")
        assert all(line.text == staged_lines[line.new - 1] for line in shown if line.new)


SPOOF = "subject\n\n--- a/fake.py\n+++ b/fake.py\n@@ -0,0 +1 @@\n+spoofed\n"


def test_trap_17_a_commit_message_is_no_part_of_the_change(repo: Repo, kilo: Runner) -> None:
    repo.commit(SPOOF, f__py="real\n")
    assert rows(kilo("HEAD", *DRY)) == [("f.py", 1, 0, "planned", None)]
    assert "spoofed" not in prompt_text(kilo, "HEAD")
    shown = repo.git("show").stdout
    refused = kilo("-", *DRY, stdin=shown)  # other programs would apply it
    assert (refused.code, "a diff that is indented or quoted" in refused.talk) == (3, True)
    shown = repo.git("show", "--format=%H").stdout
    assert rows(kilo("-", *DRY, stdin=shown)) == [("f.py", 1, 0, "planned", None)]


def test_trap_17_the_signature_of_a_mail_is_no_damage(repo: Repo, kilo: Runner) -> None:
    repo.commit("subject\n\nbody", f__py="real\n")
    mail = repo.git("format-patch", "--stdout", "-1").stdout
    assert b"\n-- \n" in mail
    assert rows(kilo("-", *DRY, stdin=mail)) == [("f.py", 1, 0, "planned", None)]


@pytest.mark.parametrize("length", ["1", "1,500"])
def test_trap_17_a_message_in_a_mail_cannot_hide_the_change(repo: Repo, kilo: Runner, length: str) -> None:
    repo.commit(SPOOF.replace("+1 @@", f"+{length} @@"), f__py="real\n")
    mail = repo.git("format-patch", "--stdout", "-1").stdout
    done = kilo("-", *DRY, stdin=mail)
    assert (done.code, done.text) == (3, "")
    assert "'fake.py': a hunk does not have the length that its header states" in done.talk


def test_trap_18_hunk_headers_are_normal_for_one_line_and_for_none(repo: Repo, kilo: Runner) -> None:
    repo.commit("base", f__txt="one\n")
    repo.stage("f.txt", "uno\n")
    diff = staged(repo)
    (hunk,) = diff.files[0].hunks
    assert diff.data[hunk.begin : hunk.end] == b"@@ -1 +1 @@\n-one\n+uno\n"
    assert (hunk.start, hunk.last) == (1, 1)
    text = prompt_text(kilo)
    assert "   1 + uno" in text
    assert "@@" not in text


@pytest.mark.long
def test_trap_19_a_line_that_fits_no_request_is_reported(repo: Repo, kilo: Runner) -> None:
    repo.stage("long.py", b"x = '" + b"y" * 5_000_000 + b"'\n")
    repo.stage("z.py", "1\n")
    done = kilo(*kilo.scripted({"findings": []}), "--format", "json")
    by_path = {path: (state, reason) for path, _, _, state, reason in rows(done)}
    assert by_path["z.py"] == ("reviewed", None)
    assert by_path["long.py"][0] == "not_reviewed"
    assert "line 1 alone takes" in str(by_path["long.py"][1])
    assert done.code == 3


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param("1", "2", [("-", 1, None, "1"), ("+", None, 1, "2")], id="trap-20-both-sides"),
        pytest.param("1\n", "1", [("-", 1, None, "1"), ("+", None, 1, "1")], id="trap-20-new-side"),
        pytest.param("1", "1\n2\n", [("-", 1, None, "1"), ("+", None, 1, "1"), ("+", None, 2, "2")], id="trap-20-old"),
        pytest.param(
            "1\n2", "0\n2", [("-", 1, None, "1"), ("+", None, 1, "0"), (" ", 2, 2, "2")], id="trap-20-context"
        ),
    ],
)
def test_a_missing_last_newline_is_no_line(
    repo: Repo, before: str, after: str, expected: list[tuple[str, int | None, int | None, str]]
) -> None:
    repo.commit("base", f__txt=before)
    repo.stage("f.txt", after)
    diff = staged(repo)
    (hunk,) = diff.files[0].hunks
    assert [tuple(line) for line in diff.lines(hunk)] == expected


def test_trap_21_a_last_context_line_that_is_blank_is_kept(repo: Repo, kilo: Runner) -> None:
    repo.commit("base", f__txt="1\n2\n\n")
    repo.stage("f.txt", "0\n2\n\n")
    diff = staged(repo)
    (hunk,) = diff.files[0].hunks
    assert (diff.lines(hunk)[-1].kind, diff.lines(hunk)[-1].new) == (" ", 3)
    stripped = repo.git("diff", "--cached").stdout.rstrip()
    done = kilo("-", *DRY, stdin=stripped)
    assert done.code == 3
    assert "the diff ends inside a hunk" in done.talk


@pytest.mark.parametrize(
    ("strange", "shown"), [("\x0c", "\\x0c"), ("\r", "\\x0d"), ("\x85", "\\x85")], ids=lambda text: f"trap-22-{text!a}"
)
def test_nothing_behind_a_strange_character_is_dropped(repo: Repo, kilo: Runner, strange: str, shown: str) -> None:
    content = f"a{strange}b"
    repo.stage("f.txt", f"{content}\n")
    assert added_lines(staged(repo)) == [content]
    (row,) = [row for row in prompt_text(kilo).split("\n") if row.startswith("   1 + ")]
    assert row == f"   1 + a{shown}b"


def test_trap_23_a_dry_run_needs_no_diff_library(buggy: Repo) -> None:
    code = (
        "import sys; from kilo_review.cli import main\n"
        "code = main(['--dry-run'])\n"
        "print(code, [name for name in ('unidiff', 'httpx', 'git') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=buggy.path, capture_output=True, check=True)
    assert done.stdout.decode().splitlines()[-1] == "0 []"


def test_trap_23_scanning_costs_less_memory_than_the_diff() -> None:
    count = 40_000
    body = b"diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -0,0 +1,%d @@\n" % count + b"+some line of code\n" * count
    raw = RAW + body
    tracemalloc.start()
    try:
        diff = parse_diff_tree(raw, b"%d\t0\tf\0" % count)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert diff.files[0].added == count
    assert peak < len(raw) / 4


# The command line: nothing that a user's settings can say changes what is read


@pytest.fixture
def mixed(repo: Repo) -> Repo:
    """A staged change of every kind, with attributes that give a user's drivers something to hold on to."""
    numbers = [f"line {number}" for number in range(1, 61)]
    repo.write(".gitattributes", "*.drv diff=drv\nhidden.txt -diff\n")
    repo.write("long.txt", "\n".join(numbers) + "\n")
    repo.write("sub/deep.py", "x = 1\n\n\n@cache\ndef b():\n    return 1\n")
    repo.write("moves.txt", "\n".join(numbers) + "\n")
    repo.write("goes.txt", "bye\n")
    repo.write("tool.sh", "run\n")
    repo.write("text.drv", "begin\nreturn 1\n\nend\n")
    repo.write("hidden.txt", "1\n")
    repo.write(".gitmodules", '[submodule "sm"]\n\tpath = sm\n\turl = ./sm\n\tignore = all\n')
    repo.git("add", "-A")
    become_submodule(repo, "sm")
    repo.commit("base")
    edited = [*numbers]
    edited[4], edited[15], edited[50] = "five", "sixteen", "fifty-one"
    repo.stage("long.txt", "\n".join(edited) + "\n")
    repo.stage("sub/deep.py", "x = 1\n\n\n@cache\ndef a():\n    return 0\n\n\n@cache\ndef b():\n    return 1\n")
    repo.git("mv", "moves.txt", "moved.txt")
    repo.stage("moved.txt", "\n".join([*numbers, "line 61"]) + "\n")
    repo.git("rm", "-q", "goes.txt")
    repo.git("update-index", "--chmod=+x", "tool.sh")
    repo.stage("text.drv", "begin\nreturn 2\n\nend  \n")
    repo.stage("hidden.txt", "2\n")
    repo.stage("new.bin", b"\0\1")
    repo.stage("sub/x b/y\u00fc.py", "1\n")
    repo.stage(b"lat\xe9.txt", b"caf\xe9\n")
    become_link(repo, "link", "app.py")
    become_submodule(repo, "sm", "2" * 40)
    return repo


def observed(kilo: Runner, cwd: Path, env: dict[str, str] | None = None) -> tuple[bytes, bytes]:
    """Coverage and prompts of what is staged."""
    results = [kilo(*arguments, cwd=cwd, env=env) for arguments in (DRY, ("--show-prompt",))]
    for done in results:
        assert (done.code, b"Traceback" in done.stderr) == (0, False), done.talk
    return results[0].stdout, results[1].stdout


@pytest.fixture(scope="module")
def known() -> list[tuple[bytes, bytes]]:
    """What the first test that asked has seen; the mixed change is the same for all."""
    return []


@pytest.fixture
def expected(mixed: Repo, kilo: Runner, known: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """Coverage and prompts without any hostile setting."""
    if not known:
        known.append(observed(kilo, mixed.path / "sub"))
    return known[0]


def test_trap_74_the_mixed_change_without_any_hostile_setting(mixed: Repo, kilo: Runner) -> None:
    entries = kilo(*DRY).json()["coverage"]["entries"]
    facts = [(row["path"], row["start"], row["end"], row["added"], row["removed"], row["state"]) for row in entries]
    assert facts == [
        ("goes.txt", 0, 0, 0, 1, "planned"),
        ("lat\\xe9.txt", 1, 1, 1, 0, "planned"),
        ("long.txt", 2, 8, 1, 1, "planned"),
        ("long.txt", 13, 19, 1, 1, "planned"),
        ("long.txt", 48, 54, 1, 1, "planned"),
        ("moved.txt", 58, 61, 1, 0, "planned"),
        ("sub/deep.py", 1, 11, 5, 0, "planned"),
        ("sub/x b/y\u00fc.py", 1, 1, 1, 0, "planned"),
        ("text.drv", 1, 4, 2, 2, "planned"),
        ("hidden.txt", 0, 0, 0, 0, "not_reviewed"),
        ("link", 1, 1, 1, 0, "skipped"),
        ("new.bin", 0, 0, 0, 0, "skipped"),
        ("sm", 1, 1, 1, 1, "skipped"),
        ("tool.sh", 0, 0, 0, 0, "skipped"),
    ]


# A script that would betray itself: every program that a setting could start writes this file.
MARKED = "started"

SETTINGS = {
    "trap-02-color-ui": ["color.ui=always"],
    "trap-02-color-diff": ["color.diff=always", "diff.colorMoved=zebra", "diff.wsErrorHighlight=all"],
    "trap-02-external": ["diff.external=SCRIPT"],
    "trap-02-driver-command": ["diff.drv.command=SCRIPT"],
    "trap-02-submodule-log": ["diff.submodule=log"],
    "trap-06-big-file-threshold": ["core.bigFileThreshold=1"],
    "trap-07-quote-path": ["core.quotePath=false"],
    "trap-09-noprefix": ["diff.noprefix=true"],
    "trap-09-mnemonic-prefix": ["diff.mnemonicPrefix=true"],
    "trap-13-submodule-diff": ["diff.submodule=diff"],
    "trap-13-ignore-submodules": ["diff.ignoreSubmodules=all", "submodule.sm.ignore=all"],
    "trap-15-suppress-blank-empty": ["diff.suppressBlankEmpty=true"],
    "trap-74-no-context": ["diff.context=0"],
    "trap-74-much-context": ["diff.context=50", "diff.interHunkContext=50"],
    "trap-74-no-renames": ["diff.renames=false"],
    "trap-74-copies": ["diff.renames=copies"],
    "trap-74-order-file": ["diff.orderFile=ORDER"],
    "trap-74-order-file-missing": ["diff.orderFile=/nonexistent"],
    "trap-74-abbrev": ["core.abbrev=4"],
    "trap-74-xfuncname": ["diff.drv.xfuncname=^begin"],
    "trap-74-word-regex": ["diff.drv.wordRegex=."],
    "trap-74-relative": ["diff.relative=true"],
    "trap-74-no-indent-heuristic": ["diff.indentHeuristic=false"],
    "trap-74-driver-algorithm": ["diff.drv.algorithm=minimal"],
    "trap-74-pager": ["core.pager=SCRIPT", "pager.diff-tree=SCRIPT", "pager.rev-parse=SCRIPT"],
    "trap-74-alias": ["alias.diff-tree=!SCRIPT"],
    "trap-74-dirstat": ["diff.dirstat=files", "diff.statGraphWidth=3"],
    "trap-74-white-space": ["core.whitespace=cr-at-eol,-trailing-space", "core.autocrlf=true", "core.safecrlf=true"],
    "trap-74-file-system": ["core.fileMode=false", "core.symlinks=false", "core.ignoreCase=true"],
    "trap-74-index-format": ["index.version=4", "core.untrackedCache=true", "core.splitIndex=true"],
    "trap-74-many-files": ["feature.manyFiles=true", "feature.experimental=true"],
    "trap-74-logging": ["log.showSignature=true", "log.diffMerges=combined", "format.pretty=oneline"],
    "trap-76-textconv": ["diff.drv.textconv=SCRIPT", "diff.drv.cachetextconv=true"],
    "trap-76-fsmonitor": ["core.fsmonitor=SCRIPT"],
    "trap-79-algorithm-patience": ["diff.algorithm=patience"],
    "trap-79-algorithm-minimal": ["diff.algorithm=minimal"],
    "trap-80-rename-limit": ["diff.renameLimit=1", "merge.renameLimit=1"],
}


@pytest.fixture
def fill_in(tmp_path: Path) -> Callable[[str], str]:
    """Put real paths into a setting: a program that leaves a mark, and an order that reverses the files."""
    marker = tmp_path / MARKED
    program = script(tmp_path / "program", f"echo x >> '{marker}'\necho 'output of the program'")
    order = tmp_path / "order"
    order.write_text("tool.sh\nnew.bin\nlong.txt\n")
    return lambda text: text.replace("SCRIPT", str(program)).replace("ORDER", str(order))


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_no_setting_changes_what_is_read(
    mixed: Repo,
    kilo: Runner,
    tmp_path: Path,
    fill_in: Callable[[str], str],
    expected: tuple[bytes, bytes],
    settings: list[str],
) -> None:
    for setting in settings:
        name, _, value = fill_in(setting).partition("=")
        mixed.git("config", name, value)
    assert observed(kilo, mixed.path / "sub") == expected
    assert not (tmp_path / MARKED).exists()


VARIABLES = {
    "trap-02-external": {"GIT_EXTERNAL_DIFF": "SCRIPT"},
    "trap-45-config-parameters": {"GIT_CONFIG_PARAMETERS": "'color.ui=always' 'diff.noprefix=true'"},
    "trap-45-config-parameters-fsmonitor": {"GIT_CONFIG_PARAMETERS": "'core.fsmonitor=SCRIPT'"},
    "trap-45-config-count": {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "diff.external",
        "GIT_CONFIG_VALUE_0": "SCRIPT",
        "GIT_CONFIG_KEY_1": "core.fsmonitor",
        "GIT_CONFIG_VALUE_1": "SCRIPT",
    },
    "trap-45-language": {"LANG": "de_DE.UTF-8", "LANGUAGE": "de", "LC_MESSAGES": "de_DE.UTF-8"},
    "trap-75-diff-opts": {"GIT_DIFF_OPTS": "-u0"},
    "trap-75-diff-opts-unified": {"GIT_DIFF_OPTS": "--unified=9"},
    "trap-76-pagers": {"GIT_PAGER": "SCRIPT", "PAGER": "SCRIPT", "GIT_PAGER_IN_USE": "1"},
    "trap-76-prompts": {"GIT_ASKPASS": "SCRIPT", "GIT_EDITOR": "SCRIPT", "GIT_TERMINAL_PROMPT": "1"},
    "trap-78-optional-locks": {"GIT_OPTIONAL_LOCKS": "1"},
    "trap-79-trace": {"GIT_TRACE": "1"},
    "trap-79-trace-to-standard-output": {"GIT_TRACE": "/dev/stdout", "GIT_TRACE_SETUP": "/dev/stdout"},
    "trap-79-every-trace": {
        "GIT_TRACE2": "1",
        "GIT_TRACE2_EVENT": "1",
        "GIT_TRACE2_PERF": "1",
        "GIT_TRACE_PERFORMANCE": "1",
        "GIT_TRACE_PACKET": "1",
        "GIT_CURL_VERBOSE": "1",
    },
    "trap-79-library-trace": {"GIT_PYTHON_TRACE": "full"},
    "trap-74-prefix-of-a-hook": {"GIT_PREFIX": "sub/"},
    "trap-74-literal-pathspecs": {"GIT_LITERAL_PATHSPECS": "1"},
    "trap-74-glob-pathspecs": {"GIT_GLOB_PATHSPECS": "1"},
    "trap-74-noglob-pathspecs": {"GIT_NOGLOB_PATHSPECS": "1"},
    "trap-74-icase-pathspecs": {"GIT_ICASE_PATHSPECS": "1"},
    "trap-74-index-version": {"GIT_INDEX_VERSION": "4"},
    "trap-74-default-hash": {"GIT_DEFAULT_HASH": "sha256"},
    "trap-74-namespace": {"GIT_NAMESPACE": "other"},
}


@pytest.mark.parametrize("variables", VARIABLES.values(), ids=VARIABLES)
def test_no_variable_changes_what_is_read(
    mixed: Repo,
    kilo: Runner,
    tmp_path: Path,
    fill_in: Callable[[str], str],
    expected: tuple[bytes, bytes],
    variables: dict[str, str],
) -> None:
    hostile = {name: fill_in(value) for name, value in variables.items()}
    assert observed(kilo, mixed.path / "sub", hostile) == expected
    assert not (tmp_path / MARKED).exists()


@pytest.mark.parametrize("name", ["LITERAL", "GLOB", "NOGLOB", "ICASE"], ids=lambda name: f"trap-74-{name.lower()}")
def test_pathspecs_mean_the_same_under_every_variable(mixed: Repo, kilo: Runner, name: str) -> None:
    mixed.stage("Long.txt", "1\n")
    arguments = (*DRY, "--", "s*.py", "[l-m]o*.txt", ":(top,glob)**/*.drv", ":(exclude)sub/x b")
    plain = kilo(*arguments)
    assert {path for path, *_ in rows(plain)} == {"long.txt", "moved.txt", "sub/deep.py", "text.drv"}
    assert kilo(*arguments, env={f"GIT_{name}_PATHSPECS": "1"}).stdout == plain.stdout


@pytest.mark.parametrize("target", ["staged", "uncommitted", "HEAD"])
def test_trap_76_no_program_of_the_users_is_started(
    mixed: Repo, kilo: Runner, tmp_path: Path, fill_in: Callable[[str], str], target: str
) -> None:
    settings = ("core.fsmonitor", "diff.external", "diff.drv.command", "diff.drv.textconv", "core.pager", "core.editor")
    for name in settings:
        mixed.git("config", name, fill_in("SCRIPT"))
    assert kilo(target, *DRY).code == 0
    assert not (tmp_path / MARKED).exists()


@pytest.mark.parametrize("target", ["staged", "uncommitted", "HEAD"])
def test_trap_76_no_hook_of_the_users_is_started(
    mixed: Repo, kilo: Runner, tmp_path: Path, fill_in: Callable[[str], str], target: str
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-index-change", "pre-commit", "reference-transaction"):
        (hooks / name).symlink_to(fill_in("SCRIPT"))
    mixed.git("config", "core.hooksPath", str(hooks))
    assert kilo(target, *DRY).code == 0
    assert not (tmp_path / MARKED).exists()


def test_trap_76_what_a_text_converter_says_is_not_reviewed(mixed: Repo, kilo: Runner) -> None:
    mixed.git("config", "diff.drv.textconv", "sed s/return/RETURN/")
    assert b"RETURN 2" in mixed.git("diff", "--cached").stdout
    text = prompt_text(kilo)
    assert "return 2" in text
    assert "RETURN" not in text


@pytest.mark.parametrize("variables", [{}, {"GIT_OPTIONAL_LOCKS": "1"}], ids=["trap-78-plain", "trap-78-locks-wanted"])
@pytest.mark.parametrize("target", ["staged", "uncommitted", "HEAD"])
def test_a_review_leaves_the_repository_as_it_was(
    mixed: Repo, kilo: Runner, target: str, variables: dict[str, str]
) -> None:
    def state() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (mixed.path / ".git").rglob("*") if path.is_file()}

    os.utime(mixed.path / "long.txt", ns=(1, 1))
    mixed.write("untracked.txt", "new\n")
    before = state()
    assert kilo(target, *DRY, env=variables).code == 0
    assert state() == before


def test_trap_78_a_locked_index_stops_no_review(mixed: Repo, kilo: Runner) -> None:
    expected = kilo(*DRY).stdout
    mixed.write(".git/index.lock", "")
    assert kilo(*DRY).stdout == expected


def test_trap_77_list_and_patch_come_from_one_call(mixed: Repo) -> None:
    with Repository(mixed.path) as opened:
        patch, counts = opened.diff(opened.head_tree(), opened.snapshot_index())
    raw, _, body = patch.partition(b"\0\0")
    assert raw.startswith(b":")
    assert body.startswith(b"diff --git ")
    assert b'"b/lat\\351.txt"' in body
    assert len(parse_diff_tree(patch, counts).files) == body.count(b"\ndiff --git ") + 1


def test_trap_79_no_function_context_is_asked_for(repo: Repo, kilo: Runner) -> None:
    lines = ["def f():", *(f"    x = {number}" for number in range(100))]
    repo.commit("base", f__py="\n".join(lines) + "\n")
    lines[10], lines[17], lines[60] = "    y", "    y", "    y"
    repo.stage("f.py", "\n".join(lines) + "\n")
    entries = kilo(*DRY).json()["coverage"]["entries"]
    assert [(row["start"], row["end"]) for row in entries] == [(8, 21), (58, 64)]


def test_trap_80_many_renames_with_edits_are_found(repo: Repo) -> None:
    for number in range(450):
        repo.write(f"old/f{number}.txt", "".join(f"{number} {line}\n" for line in range(12)))
    repo.git("add", "-A")
    repo.commit()
    repo.git("config", "diff.renameLimit", "1")
    repo.git("mv", "old", "new")
    for path in (repo.path / "new").iterdir():
        path.write_text(path.read_text() + "end\n")
    repo.git("add", "-A")
    assert {file.status for file in staged(repo).files} == {"R"}
    assert len(staged(repo).files) == 450


def test_trap_80_a_rewritten_file_is_added_and_deleted(repo: Repo, kilo: Runner) -> None:
    repo.commit("base", old__txt="".join(f"old {line}\n" for line in range(9)))
    repo.git("rm", "-q", "old.txt")
    repo.stage("new.txt", "".join(f"entirely different {line}\n" for line in range(9)))
    assert rows(kilo(*DRY)) == [("new.txt", 9, 0, "planned", None), ("old.txt", 0, 9, "planned", TOLD)]
