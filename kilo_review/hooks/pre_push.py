"""`git push` asks: which commits are new there? By the framework's variables, else by git's standard input."""

from __future__ import annotations

import os
import re
import select
import time
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from kilo_review.core.errors import SourceError, TargetError
from kilo_review.core.outcome import Entry, Outcome, State, Target, TargetKind
from kilo_review.sanitize.terminal import escaped_path
from kilo_review.source import history

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kilo_review.core.deadline import Deadline
    from kilo_review.source.history import Series
    from kilo_review.source.repo import Repository

MAX_SECONDS = 120.0
DEFAULT_REMOTE = "origin"
STDIN_SECONDS = 2.0
"""Silence after which nothing more is expected; git has written its lines before the hook starts."""
LONGEST_SECONDS = 10.0
LONGEST_STDIN = 16 << 20
_OID = r"([0-9a-f]{40}(?:[0-9a-f]{24})?)"
_LINE = rf"(.+) {_OID} ([^ ]+) {_OID}\Z"
"""Local reference (which may be an expression with spaces), its id, remote reference, its id."""


KINDS = {"blob": "a file (blob)", "tree": "a folder (tree)"}


class Update(NamedTuple):
    """One reference of a push; ids are hex, all zeros where there is nothing.

    Attributes:
        local_oid: what is pushed.
        remote_oid: what the remote has under that name.
        remote: the remote's name or address; "" if it is not known, and then only `remote_oid` is old.
        name: of the reference at the remote.
    """

    local_oid: str
    remote_oid: str
    remote: str
    name: str


class Other(NamedTuple):
    """What is pushed and is no commit, so that there is no change to review.

    Attributes:
        name: of the reference at the remote.
        oid: what is pushed.
        reason: why it is not reviewed.
    """

    name: str
    oid: str
    reason: str

    @property
    def entry(self) -> Entry:
        """Its row of the coverage."""
        return Entry(self.name, 0, 0, 0, 0, State.NOT_REVIEWED, self.reason, is_hunk=False)

    @property
    def outcome(self) -> Outcome:
        """What came of it: nothing."""
        found = Outcome(Target(TargetKind.RANGE, None, None), entries=[self.entry])
        found.next_step = f"Look at it yourself: git show {self.oid}"
        return found


class Pushed(NamedTuple):
    """What a push adds to the remote.

    Attributes:
        series: the new commits of each reference; a commit is in the first one only.
        others: what is pushed and is no commit.
    """

    series: list[Series]
    others: list[Other]


def updates(
    repo: Repository, arguments: Sequence[str], environment: Mapping[str, str], text: bytes
) -> list[Update]:  # fmt: skip
    """Return the references of the push.

    Precedence: the framework's variables; git's lines on standard input; else what the upstream lacks.

    Args:
        repo: the repository.
        arguments: git's: the remote's name and its URL.
        environment: where `PRE_COMMIT_*` may be.
        text: git's lines, if there are any.

    Raises:
        TargetError: a line or variable names something that is not here.
    """
    found = _from_framework(repo, environment)
    if found is None:
        found = _from_git(text, arguments[0] if arguments else "origin")
    return _from_upstream(repo) if found is None else found


def pushed(repo: Repository, updates: Sequence[Update]) -> Pushed:
    """Return what is new at the remote.

    Raises:
        SourceError: git cannot tell.
    """
    found, heads = Pushed([], []), list[str]()
    ways = {update[:3]: update for update in reversed(updates)}  # the first name of each
    commits = repo.commits_of(update.local_oid for update in updates if update.local_oid.strip("0"))
    for update in updates:
        head = commits.get(update.local_oid) or _head(repo, update)
        if isinstance(head, Other):
            found.others.append(head)
        elif head and ways.pop(update[:3], None) and (new := _series(repo, update, head, heads)):
            found.series.append(new)
            heads.append(head)
    return found


def _from_framework(repo: Repository, environment: Mapping[str, str]) -> list[Update] | None:
    """pre-commit and prek pass one reference in variables; on a first push only the branch's name."""
    remote = environment.get("PRE_COMMIT_REMOTE_NAME", "")  # `pre-commit run --from-ref` by hand has none
    start, end = environment.get("PRE_COMMIT_FROM_REF"), environment.get("PRE_COMMIT_TO_REF")
    name = environment.get("PRE_COMMIT_REMOTE_BRANCH", "")
    if end:
        old = _oid(repo, start) if start and start.strip("0") else "0"
        return [Update(_oid(repo, end), old, remote, name or end)]
    if branch := environment.get("PRE_COMMIT_LOCAL_BRANCH"):
        return [Update(_oid(repo, branch), "0", remote, name or branch)]
    return None


def _from_git(text: bytes, remote: str) -> list[Update] | None:
    """`<local ref> <local oid> <remote ref> <remote oid>` lines, one for each reference."""
    if not text:
        return None
    found = []
    for line in text.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n"):
        match = re.match(_LINE, line)
        if match is None:
            raise TargetError(f"standard input is not what git gives a pre-push hook: {line[:80]!a}")
        found.append(Update(match[2], match[4], remote, match[3]))
    return found


def _from_upstream(repo: Repository) -> list[Update]:
    head = repo.head()
    if head is None:
        return []
    upstream = repo.commit("@{upstream}")
    return [Update(head, upstream or "0", "origin", "HEAD")]


def _head(repo: Repository, update: Update) -> str | Other | None:
    """The commit that is pushed, behind all tags of it; None for a deletion."""
    if not update.local_oid.strip("0"):
        return None
    head = repo.commit(update.local_oid)
    if head is not None:
        return head
    if repo.status("cat-file", "-e", update.local_oid)[0]:
        raise SourceError(f"what is pushed, {update.local_oid}, is not in this repository")
    what = KINDS.get(repo.kind(update.local_oid), "something that git cannot read")
    name = escaped_path(update.name)
    return Other(update.name, update.local_oid, f"{name} names {what}, and only commits are reviewed")


def _series(repo: Repository, update: Update, head: str, before: list[str]) -> Series | None:
    """The commits that this reference adds to the remote, without those of the references before it."""
    known = repo.commit(update.remote_oid) if update.remote_oid.strip("0") else None
    old = [*([known] if known else []), *before]
    remotes = _remotes(repo, update.remote, has_known=known is not None)
    less = ("--not", *(f"--remotes={name}" for name in remotes)) if remotes else ()
    new = history.commits(repo, [head], old, *less)

    def base() -> str | None:
        """Where the reference leaves what the remote has."""
        if known and repo.merge_base(head, known) == known:
            return known
        others = (ref for name in remotes for ref in repo.refs(f"refs/remotes/{name}"))
        every = dict.fromkeys([*others, *old])
        return repo.merge_base(head, *every) if every else None

    return history.series(repo, new, base) if new else None


def _remotes(repo: Repository, remote: str, *, has_known: bool) -> list[str]:
    """Return the remotes, by their names, whose branches what is pushed to is known to have.

    Args:
        repo: the repository.
        remote: where it is pushed to: a remote's name or an address.
        has_known: whether the old commit of the reference there is here: then no more need be known of an address.
    """
    if not remote:
        return []
    known = repo.remotes()
    if remote == ".":  # from one branch of this very repository to another
        return list(known)
    # What was fetched tells of where it is pushed to only if that is the same place.
    if remote in known or not ("/" in remote or ":" in remote):
        return [remote] if remote not in known or _is_told_by_its_branches(repo, remote, known) else []
    at_address = [name for name, fetched in known.items() if remote in fetched]
    # What some other remote has may come from anybody; a new branch at an address is compared with the usual one.
    names = at_address or ([] if has_known else [name for name in known if name == DEFAULT_REMOTE])
    return [name for name in names if _is_told_by_its_branches(repo, name, known)]


def _is_told_by_its_branches(repo: Repository, name: str, known: Iterable[str]) -> bool:
    """Tell whether the branches that were fetched from a remote are those of where it is pushed to, and no others."""
    has_others = any(other.startswith(f"{name}/") for other in known)  # their branches lie below its own
    return not has_others and repo.is_pushed_where_it_is_fetched(name)


def _oid(repo: Repository, name: str) -> str:
    found = repo.commit(name) or repo.object(name)
    if found is None:
        raise TargetError(f"{name!a}, which the hook framework names, is not here")
    return found


def read(stdin: BinaryIO | None, deadline: Deadline) -> bytes:
    """All of standard input, if a process writes to it; a terminal or silence means nothing.

    Raises:
        TargetError: it has no end.
    """
    if stdin is None or stdin.closed or stdin.isatty():
        return b""
    pieces: list[bytes] = []
    left = deadline.remaining()
    patience = STDIN_SECONDS if left is None else min(STDIN_SECONDS, left)
    size, end = 0, time.monotonic() + LONGEST_SECONDS
    descriptor = stdin.fileno()
    while size <= LONGEST_STDIN and time.monotonic() < end:
        silent = not select.select([descriptor], [], [], patience)[0]
        piece = b"" if silent else os.read(descriptor, 65536)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
    raise TargetError("standard input is not what git gives a pre-push hook: it has no end")
