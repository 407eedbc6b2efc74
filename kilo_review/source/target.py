"""What was asked for → a base tree and a head tree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.errors import SourceError, TargetError
from kilo_review.core.outcome import Target, TargetKind
from kilo_review.source import git_state, mainline

if TYPE_CHECKING:
    from kilo_review.source.repo import Repository

PATCH = "-"
KEYWORDS = ("staged", "uncommitted", "branch")


class Request(NamedTuple):
    """A target in the user's words.

    Attributes:
        what: `staged`, `uncommitted`, `branch`, a revision, `A..B`, `A...B`, or `-`.
        base: what `branch` is compared with; None to find it.
        paths: git pathspecs, relative to the working directory.
        target: two trees that have already been worked out; then nothing else counts.
        ruled_by: the tree whose attributes and other rules count; None for the new one.
        governing: paths of files that govern the review though they lie elsewhere than usual, such as a baseline.
        in_commit: `git commit` is under way, and what it is told decides what it will record.
    """

    what: str = "staged"
    base: str | None = None
    paths: tuple[str, ...] = ()
    target: Target | None = None
    ruled_by: str | None = None
    governing: tuple[str, ...] = ()
    in_commit: bool = False


def resolve(repo: Repository, request: Request) -> Target:
    """Find the two trees.

    Raises:
        TargetError: a revision does not exist, or there is nothing to compare with.
        SourceError: history is cut off where it is needed.
    """
    if request.target is not None:
        return request.target
    if request.what == "staged":
        _needs_worktree(repo, "staged")
        return _staged(repo, in_commit=request.in_commit)
    if request.what == "uncommitted":
        _needs_worktree(repo, "uncommitted")
        head, left_out = repo.snapshot_worktree(request.paths)
        return Target(TargetKind.UNCOMMITTED, repo.head_tree(), head, left_out=left_out)
    if request.what == "branch":
        return _branch(repo, request.base)
    if ".." in request.what:
        return _range(repo, request.what)
    return _commit(repo, request.what)


def _staged(repo: Repository, *, in_commit: bool) -> Target:
    """The index against what the next commit will have as its parents."""
    index, head_tree = repo.snapshot_index(), repo.head_tree()
    postponed = git_state.sequence(repo) if in_commit else ""
    if index == head_tree or postponed:  # an amended message changes nothing, whatever the parents are
        return Target(TargetKind.STAGED, head_tree, index, postponed=postponed)
    if in_commit and git_state.is_amend() and (parents := _parents_of_head(repo)) is not None:
        base, *others = parents
        return Target(TargetKind.STAGED, base, index, tuple(others))
    merged = tuple(repo.tree(commit) for commit in git_state.merge_heads(repo))
    return Target(TargetKind.STAGED, head_tree, index, merged)


def _parents_of_head(repo: Repository) -> list[str] | None:
    """Trees of the parents of HEAD, of nothing for a first commit; None where a shallow clone lacks them."""
    head = repo.head()
    parents = repo.parents(head) if head else []
    if not all(repo.commit(parent) for parent in parents):
        return None
    return [repo.tree(parent) for parent in parents] or [repo.tree(None)]


def fork_point(repo: Repository, base: str, head: str) -> str:
    """The merge base of two commits.

    Raises:
        SourceError: there is none; in a shallow clone it may lie beyond the cut.
    """
    found = repo.merge_base(base, head)
    if found is not None:
        return found
    if repo.layout.is_shallow:
        raise SourceError(
            "this clone is shallow, and the point where the two sides part is not in it",
            hint="Deepen it: git fetch --unshallow (in CI: fetch-depth: 0, GIT_DEPTH: 0)",
        )
    raise TargetError("the two sides have no common history", hint="Name both ends: A..B compares them as they are")


def _needs_worktree(repo: Repository, what: str) -> None:
    if repo.layout.is_bare:
        raise TargetError(
            f"a bare repository has nothing {what}",
            hint="Name a revision or a range, such as HEAD or main..topic",
        )


def _commit_of(repo: Repository, revision: str) -> str:
    found = repo.commit(revision)
    if found is None:
        raise TargetError(
            f"{revision!a} is neither a commit nor staged, uncommitted, branch or -", hint=_way_out(repo, revision)
        )
    return found


def _way_out(repo: Repository, revision: str) -> str:
    """The next step for somebody whose word is no target."""
    from difflib import get_close_matches  # noqa: PLC0415  for this message alone

    if Path(revision).exists():
        return f"A path goes after --: kilo-review -- {revision}"
    if repo.head() is None:
        return "There is no commit yet; review what is staged with: kilo-review staged"
    near = get_close_matches(revision, KEYWORDS, n=1)
    return f"Did you mean {near[0]}?" if near else "git log --oneline --all shows what there is; paths go after --"


def _head(repo: Repository) -> str:
    head = repo.head()
    if head is None:
        raise TargetError("there is no commit yet", hint="Stage something and review it with: kilo-review staged")
    return head


def _branch(repo: Repository, base: str | None) -> Target:
    head = _head(repo)
    base_commit = _commit_of(repo, base) if base else _default_base(repo, head)
    return Target(TargetKind.BRANCH, repo.tree(fork_point(repo, base_commit, head)), repo.tree(head))


def _default_base(repo: Repository, head: str) -> str:
    """Return the newest commit of the default branch; else of the one other branch of a remote that HEAD goes on from.

    Raises:
        TargetError: none is known. The branch's own upstream is never taken instead: all of what was pushed would pass
            for reviewed.
    """
    status, output = repo.status("symbolic-ref", "-q", "--short", "HEAD")
    own = output.decode("utf-8", "surrogateescape").strip() if status == 0 else ""
    found = mainline.find(repo, head, own=own)
    if found is None:
        raise TargetError("no default branch was found to compare with", hint="Name it: kilo-review branch --base NAME")
    return found.tip


def _range(repo: Repository, text: str) -> Target:
    dots = "..." if "..." in text else ".."
    left, _, right = text.partition(dots)
    base = _commit_of(repo, left) if left else _head(repo)
    head = _commit_of(repo, right) if right else _head(repo)
    if dots == "...":
        base = fork_point(repo, base, head)
    return Target(TargetKind.RANGE, repo.tree(base), repo.tree(head))


def _commit(repo: Repository, revision: str) -> Target:
    commit = _commit_of(repo, revision)
    parents = repo.parents(commit)
    if parents and repo.commit(parents[0]) is None:
        raise SourceError(
            f"the parent of {revision!a} is not in this clone, so its change is unknown",
            hint="Deepen it: git fetch --deepen=1 (in CI: fetch-depth: 2, GIT_DEPTH: 2)",
        )
    return Target(TargetKind.COMMIT, repo.tree(parents[0] if parents else None), repo.tree(commit))
