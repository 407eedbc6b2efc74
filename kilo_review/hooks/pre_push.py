"""`git push` asks: which commits are new there? By the framework's variables, else by git's standard input."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from kilo_review.errors import TargetError
from kilo_review.source.target import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilo_review.source.repo import Repository

MAX_SECONDS = 120.0
STDIN_SECONDS = 2.0
"""How long git may take to write its lines; when nothing comes, nothing was said."""
FIELDS = 4


class Update(NamedTuple):
    """One reference of a push; ids are hex, all zeros where there is nothing."""

    local_oid: str
    remote_oid: str
    remote: str


def requests(
    repo: Repository, arguments: Sequence[str], environment: Mapping[str, str], stdin: BinaryIO
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
    for update in updates:
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


def _from_git(stdin: BinaryIO, remote: str) -> list[Update] | None:
    """`<local ref> <local oid> <remote ref> <remote oid>` lines, one for each reference."""
    text = _read_quickly(stdin)
    if not text:
        return None
    updates = []
    for line in text.decode("utf-8", "surrogateescape").splitlines():
        words = line.split()
        if len(words) != FIELDS:
            raise TargetError(f"standard input is not what git gives a pre-push hook: {line[:80]!a}")
        updates.append(Update(words[1], words[3], remote))
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
        return None  # a tag of something that is not a commit
    known = repo.commit(update.remote_oid) if update.remote_oid.strip("0") else None
    base = repo.merge_base(head, known) if known else None
    if base is None:
        is_url = "/" in update.remote or ":" in update.remote  # pushed to an address without a name
        others = repo.refs("refs/remotes" if is_url else f"refs/remotes/{update.remote}")
        base = repo.merge_base(head, *others) if others else None
    return None if base == head else Request("push", base_commit=base, head_commit=head)


def _oid(repo: Repository, name: str) -> str:
    found = repo.commit(name)
    if found is None:
        raise TargetError(f"{name!a}, which the hook framework names, is not a commit here")
    return found


def _read_quickly(stdin: BinaryIO) -> bytes:
    """All of standard input, if somebody writes to it; a terminal or silence means nothing."""
    if stdin.closed or stdin.isatty():
        return b""
    pieces = []
    descriptor = stdin.fileno()
    while select.select([descriptor], [], [], STDIN_SECONDS)[0] and (piece := os.read(descriptor, 65536)):
        pieces.append(piece)
    return b"".join(pieces)
