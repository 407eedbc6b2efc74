"""Pointers of Git LFS are skipped, and nothing that only looks like one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kilo_review.core.outcome import IS_POINTER, State
from kilo_review.plan import lfs, scope
from kilo_review.source.diff import FileChange
from kilo_review.source.patch import parse_patch
from tests.support.here import run_here

if TYPE_CHECKING:
    from tests.conftest import Repo

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'ab' * 32}\nsize 12345\n"
OTHER = POINTER.replace("12345", "99")


def verdict(old: str | None, new: str | None, *, path: str = "model.onnx", exempts_itself: bool = True) -> object:
    """What becomes of a file: None if it is reviewed."""
    lines = [(sign, line) for sign, text in (("-", old), ("+", new)) for line in (text or "").splitlines()]
    counts = [len((text or "").splitlines()) for text in (old, new)]
    ranges = " ".join(f"{sign}{min(1, number)},{number}" for sign, number in zip("-+", counts, strict=True))
    patch = f"--- a/{path}\n+++ b/{path}\n@@ {ranges} @@\n" + "".join(f"{sign}{line}\n" for sign, line in lines)
    (change,) = parse_patch(patch.encode()).files
    oids = {"old_oid": "1" if old is not None else "0", "new_oid": "2" if new is not None else "0"}
    selection = scope.select(
        [FileChange(**(change._asdict() | oids))],
        ignored=lambda _: None,
        attributes={},
        read=lambda oid: ((old if oid == "1" else new) or "").encode(),
        exempts_itself=exempts_itself,
    )
    return None if selection.chosen else (selection.left_out[0].state, selection.left_out[0].reason)


@pytest.mark.parametrize("exempts_itself", [True, False])
@pytest.mark.parametrize(("old", "new"), [(None, POINTER), (OTHER, POINTER), (POINTER, None)])
def test_a_pointer_is_skipped(old: str | None, new: str | None, *, exempts_itself: bool) -> None:
    assert verdict(old, new, exempts_itself=exempts_itself) == (State.SKIPPED, IS_POINTER)


@pytest.mark.parametrize(
    "content",
    [
        POINTER.replace("sha256", "md5"),
        POINTER.replace("ab" * 32, "ab" * 31),
        POINTER.replace("size 12345", "size 12345; rm -rf /"),
        POINTER.replace("size 12345", "size 012"),
        POINTER + "import os\n",
        "import os\n" + POINTER,
        POINTER.replace("git-lfs.github.com", "git-lfs.github.example"),
        POINTER.replace("\n", "\r\n"),
    ],
)
def test_what_only_looks_like_one_is_reviewed(content: str) -> None:
    assert verdict(None, content) is None


def test_code_that_becomes_a_pointer() -> None:
    code = "def f():\n    return 1\n"
    assert verdict(code, POINTER) == (State.SKIPPED, IS_POINTER)
    assert verdict(code, POINTER, exempts_itself=False) is None
    assert verdict(POINTER, code) is None


def test_a_proposal_cannot_keep_a_program_elsewhere() -> None:
    assert verdict(None, POINTER, path="tool.py") == (State.SKIPPED, IS_POINTER)
    assert verdict(OTHER, POINTER, path="tool.py", exempts_itself=False) == (State.NOT_REVIEWED, lfs.PROGRAM)
    assert verdict(POINTER, None, path="tool.py", exempts_itself=False) == (State.SKIPPED, IS_POINTER)


def test_in_the_program(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:  # fmt: skip
    monkeypatch.chdir(repo.path)
    repo.stage("model.bin", POINTER)
    (row,) = run_here(capsysbinary, "--provider", "scripted", "--format", "json").json()["coverage"]["entries"]
    assert (row["added"], row["state"], row["reason"]) == (3, "skipped", "Git LFS pointer")
