"""Finds the default branch, from which others begin; `kilo-review branch` and `kilo-review ci` both ask here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.source.fetch import Fetcher
    from kilo_review.source.repo import Repository

USUAL = ("main", "master")
HERE = "refs/heads/"


class Mainline(NamedTuple):
    """The branch that a change is compared with.

    Attributes:
        name: without its remote; "" if it was found by its commit alone.
        tip: its newest commit, on the remote if one has it.
    """

    name: str
    tip: str


def find(
    repo: Repository, head: str, *, own: str = "", said: str = "", fetcher: Fetcher | None = None
) -> Mainline | None:
    """Find the default branch: as told, the remote's HEAD, a usual name, else the one branch that `head` goes on from.

    Args:
        repo: the clone.
        head: the commit that is compared with it.
        own: the branch that `head` is on, if it is known.
        said: what the CI system calls the default branch; then nothing else is tried.
        fetcher: asks the remote, if that is allowed.
    """
    places = _places(repo)
    if said:
        return _tip(repo, said, places, fetcher)
    return (
        _by_remote(repo, places, fetcher)
        or _by_usual_names(repo, places, fetcher)
        or (Mainline(own, head) if own in _usual_names(repo) else None)
        or _single_ancestor(repo, head, places[:-1], own)
    )


def tip_of(repo: Repository, branch: str) -> str | None:
    """Return where the remote has a branch; here only if no remote has it."""
    found = _tip(repo, branch, _places(repo), None) if branch else None
    return found.tip if found else None


def plain_name(repo: Repository, branch: str) -> str:
    """Return a branch without its remote, as `upstream/topic` is `topic`; "" for what can be called no branch.

    Where a remote has a branch of that whole name, it is meant.
    """
    if not repo.is_reference(HERE + branch):
        return ""
    places = _places(repo)
    if any(repo.commit(place + branch) for place in places[:-1]):
        return branch
    remotes = (place.removeprefix("refs/remotes/") for place in places[:-1])
    name = next((branch.removeprefix(remote) for remote in remotes if branch.startswith(remote)), branch)
    return "" if name == "HEAD" else name


def _places(repo: Repository) -> list[str]:
    """Return where branches may be: those of `origin` first, the local ones last."""
    remotes = repo.run("remote").decode("utf-8", "surrogateescape").split()
    remotes.sort(key=lambda name: name != "origin")
    return [*(f"refs/remotes/{remote}/" for remote in remotes), HERE]


def _tip(repo: Repository, name: str, places: list[str], fetcher: Fetcher | None) -> Mainline | None:
    if fetcher is not None:
        fetcher.branch(name)
    return next((Mainline(name, tip) for place in places if (tip := repo.commit(place + name))), None)


def _by_remote(repo: Repository, places: list[str], fetcher: Fetcher | None) -> Mainline | None:
    """Find the branch that a remote calls its HEAD, as it was when the clone was made, or as the remote says now."""
    for place in places[:-1]:
        if (tip := repo.commit(f"{place}HEAD")) is None:
            continue
        status, output = repo.status("symbolic-ref", "-q", f"{place}HEAD")
        target = output.decode("utf-8", "surrogateescape").strip() if status == 0 else ""
        name = target.removeprefix(place) if target.startswith(place) else ""
        return (_tip(repo, name, [place], fetcher) if name else None) or Mainline(name, tip)
    name = fetcher.default_branch() if fetcher is not None else ""
    return _tip(repo, name, places, fetcher) if name else None


def _by_usual_names(repo: Repository, places: list[str], fetcher: Fetcher | None) -> Mainline | None:
    """Find a branch that is called as git calls the first one of a repository; one of a remote comes first."""
    names = _usual_names(repo)
    if fetcher is not None:
        for name in names:
            if found := _tip(repo, name, places[:1], fetcher):
                return found
    tips: Iterator[Mainline | None] = (_tip(repo, name, [place], None) for place in places for name in names)
    return next((found for found in tips if found), None)


def _usual_names(repo: Repository) -> list[str]:
    status, output = repo.status("config", "--get", "init.defaultBranch")
    own = output.decode("utf-8", "surrogateescape").strip() if status == 0 else ""
    return [name for name in dict.fromkeys((own, *USUAL)) if repo.is_reference(HERE + name)]


def _single_ancestor(repo: Repository, head: str, places: list[str], own: str) -> Mainline | None:
    """Find the one branch of a remote that `head` goes on from, its own and that one's upstream apart.

    Where nothing tells which branch `head` is on, the one that is found may be its own, so none is returned.
    """
    own_names, upstreams = _own(repo, head, places, own)
    if not places or not own_names:
        return None
    form = "--format=%(objectname)%00%(refname)%00%(symref)"
    rows = repo.run("for-each-ref", f"--merged={head}", form, *places).decode("utf-8", "surrogateescape")
    found: dict[str, set[str]] = {}
    for row in rows.split("\n"):
        oid, _, names = row.partition("\0")
        name, _, symbolic = names.partition("\0")
        place = next((each for each in places if name.startswith(each)), "")
        plain = name.removeprefix(place)
        if place and not symbolic and oid != head and plain not in own_names and name not in upstreams:
            found.setdefault(oid, set()).add(plain)
    if len(found) != 1:
        return None
    ((oid, called),) = found.items()
    return Mainline(min(called), oid)


def _own(repo: Repository, head: str, places: list[str], own: str) -> tuple[set[str], set[str]]:
    """Return what the branch of `head` is called, as told or by what points at it, and its upstreams."""
    form = "--format=%(refname)%00%(upstream)"
    which = (HERE + own,) if own else (f"--points-at={head}", *places, HERE)
    rows = repo.run("for-each-ref", form, *which).decode("utf-8", "surrogateescape").split("\n")
    found = dict(row.split("\0") for row in rows if row)
    names = {name.removeprefix(place) for name in found for place in (*places, HERE) if name.startswith(place)}
    return {own} if own else names, set(found.values()) - {""}
