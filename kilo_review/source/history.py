"""Commits one by one: which there are, from which trees to which, and what became of a file later on."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.outcome import Target, TargetKind, changed_from
from kilo_review.source.diff import decode_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kilo_review.source.repo import Repository

MAIN_BRANCHES = ("refs/heads/main", "refs/heads/master")
MOST_WITHOUT_BASE = 50
"""Commits that are looked at where nothing says what is new."""


class Commit(NamedTuple):
    """One commit.

    Attributes:
        oid: its id.
        tree: its tree.
        parents: ids of its parents, in a shallow clone those that are there.
        bases: the parents' trees; the empty tree for a first commit.
        subject: the first line of its message, as its author wrote it.
        is_cut: its parents are beyond the edge of a shallow clone, so its change is unknown.
    """

    oid: str
    tree: str
    parents: tuple[str, ...]
    bases: tuple[str, ...]
    subject: str
    is_cut: bool = False

    @property
    def change(self) -> tuple[str, str]:
        """What the ledger knows its change by."""
        return changed_from(*self.bases), self.tree

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return self.tree in self.bases

    @property
    def target(self) -> Target:
        """What its review compares."""
        return Target(TargetKind.COMMIT, self.bases[0], self.tree, self.bases[1:])


class Series(NamedTuple):
    """Commits that are reviewed together.

    Attributes:
        commits: parents before children.
        net: what all of them together change.
    """

    commits: tuple[Commit, ...]
    net: Target


def commits(repo: Repository, tips: Iterable[str], known: Iterable[str], *more: str) -> list[Commit]:
    """What is in the history of `tips` and not of `known`, parents before children.

    Args:
        repo: the repository.
        tips: commit ids.
        known: commit ids.
        more: further words for `git rev-list`, such as `--not --remotes=origin`.
    """
    # The ids go over standard input: a remote may have more references than fit a command line.
    stdin = "".join([*(f"{tip}\n" for tip in tips), *(f"^{oid}\n" for oid in known)])
    words = ("rev-list", "--topo-order", "--reverse", "--format=%H %T %P%x00%s", "--stdin", *more)
    output = repo.run(*words, stdin=stdin.encode())
    rows = [line for line in output.split(b"\n") if b"\0" in line]
    return _with_trees(repo, [_parsed(row) for row in rows])


def _parsed(row: bytes) -> Commit:
    ids, _, subject = row.partition(b"\0")
    oid, tree, *parents = ids.decode("ascii").split()
    return Commit(oid, tree, tuple(parents), (), subject.decode("utf-8", "replace"))


def _with_trees(repo: Repository, found: list[Commit]) -> list[Commit]:
    """The same commits with their parents' trees, which are asked for all at once."""
    trees = {commit.oid: commit.tree for commit in found}
    wanted = dict.fromkeys(oid for commit in found for oid in commit.parents if oid not in trees)
    trees |= repo.trees(list(wanted))
    cut = repo.shallow_commits()
    empty = repo.tree(None) if any(not commit.parents for commit in found) else ""
    return [
        Commit(
            commit.oid,
            commit.tree,
            commit.parents,
            tuple(trees[oid] for oid in commit.parents) or (empty,),
            commit.subject,
            is_cut=commit.oid in cut,
        )
        for commit in found
    ]


def series(repo: Repository, found: Sequence[Commit], base: Callable[[], str | None]) -> Series:
    """Commits with what they change together.

    Args:
        repo: the repository.
        found: one commit at least, parents before children.
        base: finds the commit that they are built on, None for nothing at all; asked only if they are no chain.
    """
    first, last = found[0], found[-1]
    is_chain = len(first.bases) == 1 and all(later.parents == (earlier.oid,) for earlier, later in pairwise(found))
    start = first.bases[0] if is_chain else repo.tree(base())
    return Series(tuple(found), Target(TargetKind.RANGE, start, last.tree))


def unpushed(repo: Repository) -> Series | None:
    """What HEAD has and its upstream lacks; None if nothing.

    Without an upstream: what no remote has. Without any remote: what the main branch lacks, and on the main branch
    the last commits.
    """
    head = repo.head()
    if head is None:
        return None
    upstream = repo.commit("@{upstream}")
    if upstream:
        found = commits(repo, [head], [upstream])
    elif repo.run("for-each-ref", "--count=1", "refs/remotes"):
        found = commits(repo, [head], [], "--not", "--remotes")
    else:
        main = next(filter(None, map(repo.commit, MAIN_BRANCHES)), None)
        known = [main] if main and main != head else []
        found = commits(repo, [head], known, *([] if known else [f"--max-count={MOST_WITHOUT_BASE}"]))
    return series(repo, found, lambda: repo.merge_base(head, upstream) if upstream else None) if found else None


def pushed(repo: Repository, known: str, tip: str) -> list[Commit]:
    """What a push from `known` to `tip` has added to the remote, as far as that can be told afterwards.

    Args:
        repo: the repository.
        known: the commit that the remote had, zeros for none.
        tip: the commit that was pushed.

    Returns:
        The commits, parents before children; none if `tip` is here no more.
    """
    head = repo.commit(tip)
    if head is None:
        return []
    before = repo.commit(known) if known.strip("0") else None
    others = repo.run("for-each-ref", "--format=%(objectname)", f"--no-contains={head}", "refs/remotes")
    old = [*filter(None, [before]), *others.decode("ascii").split()]
    return commits(repo, [head], old, *([] if old else [f"--max-count={MOST_WITHOUT_BASE}"]))


def lines_changed(repo: Repository, trees: Iterable[tuple[str, str]]) -> int:
    """Added and removed lines of several changes together, as git counts them without looking for renames."""
    total = 0
    for base, head in trees:
        output = repo.run("diff-tree", "-r", "--numstat", "-z", base, head, "--")
        for row in output.split(b"\0"):
            added, _, rest = row.partition(b"\t")
            removed = rest.partition(b"\t")[0]
            total += sum(int(number) for number in (added, removed) if number.isdigit())
    return total


def renamed(repo: Repository, base: str, head: str) -> dict[str, str]:
    """Old path → new path of files that were renamed between two trees."""
    output = repo.run("diff-tree", "-r", "-z", "-M50%", "-l1000", "--diff-filter=R", "--name-status", base, head, "--")
    fields = output.split(b"\0")
    return {decode_path(old): decode_path(new) for old, new in zip(fields[1::3], fields[2::3], strict=False)}
