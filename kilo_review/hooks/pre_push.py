"""`git push` asks: which commits are new there? By the framework's variables, else by git's standard input."""

from __future__ import annotations

import os
import re
import select
import time
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from kilo_review.errors import SourceError, TargetError
from kilo_review.source.target import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilo_review.source.repo import Repository

MAX_SECONDS = 120.0
STDIN_SECONDS = 2.0
"""Silence after which nothing more is expected; git has written its lines before the hook starts."""
LONGEST_SECONDS = 10.0
LONGEST_STDIN = 16 << 20
_LINE = r"(.+) ([0-9a-f]{40,64}) ([^ ]+) ([0-9a-f]{40,64})\Z"
"""Local reference (which may be an expression with spaces), its id, remote reference, its id."""


class Update(NamedTuple):
    """One reference of a push; ids are hex, all zeros where there is nothing."""

    local_oid: str
    remote_oid: str
    remote: str


def requests(
    repo: Repository, arguments: Sequence[str], environment: Mapping[str, str], stdin: BinaryIO | None
) -> list[Request]:
    """One request for each range that the push adds.

    Precedence: the framework's variables; git's lines on standard input; else what the upstream lacks.

    Args:
        repo: the repository.
        arguments: git's: the remote's name and its URL.
        environment: where `PRE_COMMIT_*` may be.
        stdin: where git's lines may be.

    Raises:
        TargetError: a line or variable names something that is not a commit here.
    """
    updates = _from_framework(repo, environment)
    if updates is None:
        updates = _from_git(stdin, arguments[0] if arguments else "origin")
    if updates is None:
        updates = _from_upstream(repo)
    found: dict[tuple[str | None, str], Request] = {}
    for update in dict.fromkeys(updates):
        if request := _request(repo, update):
            assert request.head_commit
            found[request.base_commit, request.head_commit] = request
    return list(found.values())


def _from_framework(repo: Repository, environment: Mapping[str, str]) -> list[Update] | None:
    """pre-commit and prek pass one reference in variables; on a first push only the branch's name."""
    remote = environment.get("PRE_COMMIT_REMOTE_NAME", "origin")
    start, end = environment.get("PRE_COMMIT_FROM_REF"), environment.get("PRE_COMMIT_TO_REF")
    if end:
        return [Update(_oid(repo, end), _oid(repo, start) if start and start.strip("0") else "0", remote)]
    if branch := environment.get("PRE_COMMIT_LOCAL_BRANCH"):
        return [Update(_oid(repo, branch), "0", remote)]
    return None


def _from_git(stdin: BinaryIO | None, remote: str) -> list[Update] | None:
    """`<local ref> <local oid> <remote ref> <remote oid>` lines, one for each reference."""
    text = _read_quickly(stdin)
    if not text:
        return None
    updates = []
    for line in text.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n"):
        match = re.match(_LINE, line)
        if match is None:
            raise TargetError(f"standard input is not what git gives a pre-push hook: {line[:80]!a}")
        updates.append(Update(match[2], match[4], remote))
    return updates


def _from_upstream(repo: Repository) -> list[Update]:
    head = repo.head()
    if head is None:
        return []
    upstream = repo.commit("@{upstream}")
    return [Update(head, upstream or "0", "origin")]


def _request(repo: Repository, update: Update) -> Request | None:
    """The range that this reference adds to the remote; None if it adds nothing or is no commit."""
    if not update.local_oid.strip("0"):
        return None  # a deletion
    head = repo.commit(update.local_oid)
    if head is None:
        if repo.status("cat-file", "-e", update.local_oid)[0]:
            raise SourceError(f"what is pushed, {update.local_oid}, is not in this repository")
        return None  # a tag of something that is not a commit
    known = repo.commit(update.remote_oid) if update.remote_oid.strip("0") else None
    if known and repo.merge_base(head, known) == known:
        base: str | None = known
    else:  # new, or rewritten: what the remote has in any other branch is not new either
        is_url = "/" in update.remote or ":" in update.remote  # pushed to an address without a name
        others = repo.refs("refs/remotes" if is_url else f"refs/remotes/{update.remote}")
        others += [known] if known else []
        base = repo.merge_base(head, *dict.fromkeys(others)) if others else None
    return None if base == head else Request("push", base_commit=base, head_commit=head)


def _oid(repo: Repository, name: str) -> str:
    found = repo.commit(name)
    if found is None:
        raise TargetError(f"{name!a}, which the hook framework names, is not a commit here")
    return found


def _read_quickly(stdin: BinaryIO | None) -> bytes:
    """All of standard input, if somebody writes to it; a terminal or silence means nothing."""
    if stdin is None or stdin.closed or stdin.isatty():
        return b""
    pieces: list[bytes] = []
    size, end = 0, time.monotonic() + LONGEST_SECONDS
    descriptor = stdin.fileno()
    while size <= LONGEST_STDIN and time.monotonic() < end:
        silent = not select.select([descriptor], [], [], STDIN_SECONDS)[0]
        piece = b"" if silent else os.read(descriptor, 65536)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
    raise TargetError("standard input is not what git gives a pre-push hook: it has no end")
