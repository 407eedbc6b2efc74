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
    """Find the one branch of a remote that `head` goes on from, its own apart."""
    if not places:
        return None
    form = "--format=%(objectname)%00%(refname)%00%(symref)"
    rows = repo.run("for-each-ref", f"--merged={head}", form, *places).decode("utf-8", "surrogateescape")
    found: dict[str, set[str]] = {}
    for row in rows.split("\n"):
        oid, _, names = row.partition("\0")
        name, _, symbolic = names.partition("\0")
        place = next((each for each in places if name.startswith(each)), "")
        if place and not symbolic and oid != head:
            found.setdefault(oid, set()).add(name.removeprefix(place))
    others = [oid for oid, called in found.items() if called != {own}]
    if len(others) != 1:
        return None
    return Mainline(min(found[others[0]]), others[0])
