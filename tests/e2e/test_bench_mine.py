"""`bench mine`: cases out of a real history, each fix and refactoring of it, and none of the noise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kilo_review.bench import case as cases_of

if TYPE_CHECKING:
    from pathlib import Path

    from kilo_review.bench.case import Case
    from tests.conftest import Repo, Runner

BEFORE = "def last(items):\n    return items[-1]\n"
AFTER = "def last(items):\n    return items[-1] if items else None\n"


class History:
    """A repository of which each commit is one of a known sort."""

    def __init__(self, repo: Repo) -> None:
        self.repo = repo
        self.number = 0

    def commit(self, message: str, *, old: str = BEFORE, new: str = AFTER, **beside: str) -> str:
        """A commit that changes one file of code from `old` to `new`, in a file of its own unless named; its id."""
        self.number += 1
        name = beside.pop("name", f"part{self.number}.py")
        if old:
            self.repo.stage(name, old)
            self.repo.git("commit", "-q", "--allow-empty", "-m", f"add {name}")
        self.repo.stage(name, new)
        for path, content in beside.items():
            self.repo.stage(path.replace("__", "/").replace("_dot_", "."), content)
        self.repo.git("commit", "-q", "-m", message)
        return self.repo.out("rev-parse", "HEAD")[:12]


@pytest.fixture
def history(repo: Repo) -> History:
    return History(repo)


def mined(kilo: Runner, folder: Path, *arguments: str) -> dict[str, Case]:
    done = kilo("bench", "mine", str(folder), *arguments)
    assert done.code == 0, done.talk
    return {case.name: case for case in cases_of.load_all(folder)}


FIXES = (
    "Fix crash on an empty list",
    "fixed an off-by-one",
    "fix(core): last() of nothing",
    "parser: avoid a deadlock",
    "Do not leak descriptors (fixes #12)",
)
REFACTORINGS = ("Refactor last()", "rename a variable", "Simplify the condition", "Extract a helper")
NOISE = (
    "Bump version to 1.2.3",
    "Release 2.0 with the fix for last()",
    "v1.2 fixes",
    "Merge the fix of last()",
    "Fix typo in a message",
    "fix lint",
    "Fix formatting",
    "docs: fix the example",
    "Fix flaky test",
    "chore: fix the build",
    "Fix CI pipeline",
    "Fix deprecation warnings",
    "Bump requests to fix CVE-2026-1",
    "Add a feature",
    "Prefix all names",
)


@pytest.mark.long
def test_each_fix_is_found_and_none_of_the_noise(kilo: Runner, history: History, tmp_path: Path) -> None:
    repo = history.repo
    noise = [history.commit(message) for message in NOISE]
    wanted = {f"fix-{history.commit(message)}" for message in FIXES}
    wanted |= {f"clean-{history.commit(message)}" for message in REFACTORINGS}
    with_test = history.commit("Fix last() of nothing", tests__test_last_dot_py="def test(): ...\n", NEWS_dot_md="x\n")
    wanted.add(f"fix-{with_test}")
    # A fix that was taken back, and the commit that did so.
    noise.append(history.commit("Fix it the wrong way"))
    repo.git("revert", "--no-edit", "HEAD")
    noise.append(repo.out("rev-parse", "HEAD")[:12])
    # Another branch, merged with a message that speaks of a fix; its own fix counts once.
    repo.git("switch", "-q", "-c", "topic")
    wanted.add(f"fix-{history.commit('Fix a race')}")
    repo.git("switch", "-q", "main")
    repo.commit("beside", beside__py="x = 1\n")
    repo.git("merge", "-q", "--no-ff", "-m", "Fix crash from topic", "topic")
    noise.append(repo.out("rev-parse", "HEAD")[:12])
    # Generated, vendored, no code, binary, too large, too many files, without what was there before.
    noise += [
        history.commit(
            "Fix a bug in generated code", old="# Code generated. DO NOT EDIT.\nx=1\n", new="# @generated\n"
        ),
        history.commit("Fix a bug", name="api_pb2.py"),
        history.commit("Fix a bug", name="vendor/left.py"),
        history.commit("Fix a bug", name="package-lock.json"),
        history.commit("Fix a bug", name="settings.yaml"),
        history.commit("Fix a bug", name="tests/test_only.py"),
        history.commit("Fix a bug", old="x = '\0'\n", new="x = '\0\0'\n"),
        history.commit("Fix a bug", old="x = 1\n", new="x = 1\r\n"),
        history.commit("Fix many bugs", old=BEFORE, new=AFTER + "x = 1\n" * 40),
        history.commit("Fix bugs", a_dot_py="1\n", b_dot_py="2\n"),
        history.commit("Fix a bug by a new file", old="", new=AFTER),
        history.commit("Fix a bug", settings_dot_toml="x = 1\n"),
        history.commit("Fix a bug in a long file", old=BEFORE * 300, new=AFTER + BEFORE * 299),
    ]
    # A refactoring that had to be mended afterwards: the fix counts, the refactoring does not.
    broken = history.commit("Refactor for speed", name="fast.py")
    fixed = history.commit("Fix regression", old="", new=BEFORE, name="fast.py")
    wanted.add(f"fix-{fixed}")
    found = mined(kilo, tmp_path / "cases")
    assert set(found) == wanted
    assert not [name for name in found for oid in [*noise, broken] if oid in name]


def test_a_fix_is_turned_round(kilo: Runner, history: History, tmp_path: Path) -> None:
    history.commit("Fix crash on an empty list")
    history.commit("Rename it", old="def f(x):\n    return x\n", new="def f(item):\n    return item\n")
    cases = sorted(mined(kilo, tmp_path / "cases").values(), key=lambda case: case.is_clean)
    bug, clean = cases
    assert [(file.before, file.after) for file in bug.files] == [(AFTER, BEFORE)]
    assert (bug.kind, bug.file, bug.first, bug.last, bug.language) == ("bug", "part1.py", 2, 2, "python")
    assert bug.title == "Fix crash on an empty list"
    assert "calls itself a fix (2 lines in 1 file); here it is turned round" in bug.why
    assert [file.after for file in clean.files] == ["def f(item):\n    return item\n"]
    assert "calls itself a refactoring (4 lines in 1 file)" in clean.why


def test_what_was_mined_is_an_ordinary_folder_of_cases(kilo: Runner, history: History, tmp_path: Path) -> None:
    history.commit("Fix: last() of nothing \x1b[31m", old="```\n" + BEFORE, new="```\n" + AFTER)
    history.commit("Refactor last()")
    done = kilo("bench", "mine", str(tmp_path / "cases"))
    assert "\x1b" not in done.text
    assert done.text.splitlines()[-1].startswith("kilo-review: 1 with a bug, 1 clean, in ")
    finding = {"code": "    return items[-1]", "file": "part1.py", "line": 3, "problem": "Empty.", "title": "Crash"}
    reply = {"when": "FILE part1.py", "findings": [finding | {"severity": "critical", "type": "bug"}]}
    run = kilo("bench", "--cases", str(tmp_path / "cases"), *kilo.scripted(reply, {"findings": []}), "--format", "json")
    (row,) = json.loads(run.stdout)["models"]
    assert (row["recall"]["of"], row["clean_with_findings"]["of"], row["changes"]) == (1, 0, 2)


@pytest.mark.parametrize("sign", ["\x1e", "\x1f", "\u2028"])
def test_a_message_may_hold_any_sign(kilo: Runner, history: History, tmp_path: Path, sign: str) -> None:
    history.commit(f"Fix the end\n\nof{sign}it")
    assert len(mined(kilo, tmp_path / "out")) == 1


def test_limits(kilo: Runner, history: History, tmp_path: Path) -> None:
    for message in [*FIXES, *REFACTORINGS]:
        history.commit(message)
    few = mined(kilo, tmp_path / "few", "--limit", "4")
    assert sorted(name.partition("-")[0] for name in few) == ["clean", "clean", "fix", "fix"]
    done = kilo("bench", "mine", str(tmp_path / "none"), "--since", "2099-01-01")
    assert (done.code, "no commit of this history makes a case" in done.talk) == (2, True)
    assert not (tmp_path / "none").exists()


def test_nothing_is_overwritten(kilo: Runner, history: History, tmp_path: Path) -> None:
    history.commit(FIXES[0])
    (tmp_path / "cases").mkdir()
    assert mined(kilo, tmp_path / "cases")
    done = kilo("bench", "mine", str(tmp_path / "cases"))
    assert (done.code, "is there already" in done.talk) == (2, True)
    assert kilo("bench", "mine", str(tmp_path / "other"), cwd=tmp_path).code == 2
    done = kilo("bench", "mine", "/dev/null/cases")
    assert (done.code, "cannot be written to '/dev/null/cases'" in done.talk) == (2, True)


def test_a_history_without_a_commit(kilo: Runner, repo: Repo, tmp_path: Path) -> None:
    repo.git("checkout", "-q", "--orphan", "empty")
    done = kilo("bench", "mine", str(tmp_path / "cases"))
    assert (done.code, "no commit of this history makes a case" in done.talk) == (2, True)


def test_a_signature_is_not_checked_by_the_program_that_gits_configuration_names(
    kilo: Runner, history: History, tmp_path: Path
) -> None:
    history.commit("Fix crash on an empty list")
    content = history.repo.git("cat-file", "commit", "HEAD").stdout
    head, _, message = content.partition(b"\n\n")
    armour = b"\n ".join([b"-----BEGIN PGP SIGNATURE-----", b"", b"abc", b"-----END PGP SIGNATURE-----"])
    signed = head + b"\ngpgsig " + armour + b"\n\n" + message
    made = history.repo.git("hash-object", "-w", "-t", "commit", "--stdin", input=signed).stdout.decode().strip()
    history.repo.git("update-ref", "HEAD", made)
    called = tmp_path / "called"
    (tmp_path / "gpg").write_text(f"#!/bin/sh\ntouch {called}\n")
    (tmp_path / "gpg").chmod(0o755)
    history.repo.git("config", "log.showSignature", "true")
    history.repo.git("config", "gpg.program", str(tmp_path / "gpg"))
    assert [name[:4] for name in mined(kilo, tmp_path / "cases")] == ["fix-"]
    assert not called.exists()
    history.repo.git("log", "-1")
    assert called.exists(), "git by itself would have asked it"
