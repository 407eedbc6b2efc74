"""What a CI run is to review: exactly what was proposed or pushed, however little of the history is in the clone.

"No merge base" is an error here, never "everything is new" and never "nothing changed".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.errors import SourceError, TargetError
from kilo_review.core.outcome import Target, TargetKind
from kilo_review.source import mainline
from kilo_review.source.ci_environment import ABBREVIATING
from kilo_review.source.mainline import Mainline

if TYPE_CHECKING:
    from kilo_review.source.ci_environment import Pipeline
    from kilo_review.source.fetch import Fetcher
    from kilo_review.source.repo import Repository

TWO = 2
ID_LENGTHS = (40, 64)
SCHEDULED = frozenset({"schedule", "Schedule", "cron"})
"""Words of the systems for a run that the clock has started: nothing was pushed for it."""
NOWHERE = ("not our ref", "unadvertised object")
"""What a remote says of a commit that no branch has any more."""
BASE_HINT = "Name what the change began from: --base REVISION, such as --base origin/develop"
LAST_HINT = "Name what the branch was before: --base REVISION; --base HEAD~1 reviews the newest commit alone"


class Proposal(NamedTuple):
    """What is reviewed.

    Attributes:
        target: the trees to compare.
        base: the commit whose settings, rules and exceptions count.
        head: the commit that comments are made on.
        notes: how it was found, where that is not a matter of course.
    """

    target: Target
    base: str
    head: str
    notes: tuple[str, ...] = ()


def find(pipeline: Pipeline, repo: Repository, fetcher: Fetcher, base: str | None = None) -> Proposal:
    """Work out what is reviewed.

    Args:
        pipeline: the run.
        repo: the clone that CI has made.
        fetcher: gets what is missing, if it may.
        base: a revision that the user named; then the system's word for the other end does not count.

    Raises:
        SourceError: the history that is needed is not here; the message names the setting. Or the system names
            something that no branch, reference or commit can be called.
        TargetError: nothing tells what to compare with.
    """
    _check(pipeline, repo)
    if pipeline.problem and base is None:
        raise SourceError(f"nothing tells what to review: {pipeline.problem}", hint=BASE_HINT)
    named = pipeline._replace(branch=mainline.plain_name(repo, pipeline.branch))
    finder = _Finder(named, repo, fetcher)
    if base is not None:
        return finder.since(finder.named(base), finder.head())
    if pipeline.is_request:
        return finder.proposed()
    return finder.pushed() if pipeline.base else finder.unsaid()


def _check(pipeline: Pipeline, repo: Repository) -> None:
    """Hold what the system says against git's rules, before git is asked with it."""
    branches = (pipeline.base_branch, pipeline.default_branch)
    references = (*(f"refs/heads/{branch}" for branch in branches if branch), *pipeline.head_refs)
    wrong = [name for name in dict.fromkeys(references) if not repo.is_reference(name)]
    wrong += [oid for oid in (pipeline.base, pipeline.head, pipeline.merge) if not _fits(oid, pipeline, repo)]
    if wrong:
        raise SourceError(
            f"the CI system names {wrong[0][:80]!a}, and nothing in this repository can be called that",
            hint="Check what gives the run its event and its variables",
        )


def _fits(oid: str, pipeline: Pipeline, repo: Repository) -> bool:
    """Whether an id is as long as those of the repository, or shorter where the system abbreviates; zeros always."""
    digits = repo.layout.hex_digits
    is_short = pipeline.system in ABBREVIATING and len(oid) < digits
    return len(oid) == digits or is_short or not oid.strip("0")


class _Finder:
    def __init__(self, pipeline: Pipeline, repo: Repository, fetcher: Fetcher) -> None:
        self._pipeline = pipeline
        self._repo = repo
        self._fetcher = fetcher

    def head(self) -> str:
        """The commit that is proposed, or was pushed."""
        wanted = self._pipeline.head or self._head_of_request()
        is_whole = len(wanted) == self._repo.layout.hex_digits  # no remote is asked for the first digits
        for fetch in (None, *self._pipeline.head_refs, wanted if is_whole else None):
            if fetch:
                self._fetcher.reference(fetch)
            found = self._repo.commit_by_id(wanted) if wanted else self._repo.commit("HEAD")
            if found:
                return found
        own = self._of_merge()
        if own is not None:
            return own[-1]
        raise self._missing(f"the commit {wanted[:12]} that this run is for is not in the clone")

    def _head_of_request(self) -> str:
        """Where the head of a request is now, if the system tells its number alone; "" where HEAD is meant."""
        for name in self._pipeline.head_refs:
            found = self._fetcher.tip(name) or self._kept(name)
            if found is None:
                raise self._missing(f"{name}, the head of the request, is not in the clone")
            self._pipeline = self._pipeline._replace(head=found)
            return found
        return ""

    def _kept(self, name: str) -> str | None:
        """What an earlier fetch has made of a reference: under its own name, or where checkouts put it."""
        inner = name.removeprefix("refs/")
        places = (name, f"refs/remotes/{self._fetcher.remote or 'origin'}/{inner}", f"refs/remotes/{inner}")
        return next((found for place in places if (found := self._repo.commit(place))), None)

    def named(self, revision: str) -> str:
        """The commit that the user named."""
        found = self._here(revision)
        if found is None:
            self._fetcher.deepen_until(lambda: self._here(revision) is not None)
            found = self._here(revision)
        if found is None:
            name = revision.removeprefix("origin/").removeprefix("refs/heads/")
            if self._repo.is_reference(f"refs/heads/{name}"):
                self._fetcher.branch(name)
                found = self._here(revision) or mainline.tip_of(self._repo, name)
        if found is None:
            raise TargetError(
                f"--base: {revision!a} is no commit here{self._why()}", hint="git branch -a shows what is"
            )
        return found

    def _here(self, revision: str) -> str | None:
        """A branch before a tag, and the remote's before one of ours: what is proposed may be called like its base."""
        is_id = len(revision) in ID_LENGTHS and not revision.strip("0123456789abcdef")
        names = (revision,) if is_id else (f"refs/remotes/{revision}", f"refs/heads/{revision}", revision)
        return next((found for name in names if (found := self._repo.commit(name))), None)

    def proposed(self) -> Proposal:
        """A pull or merge request: from where it left the target branch, as that is now, to its head."""
        branch = self._pipeline.base_branch
        if branch:
            self._fetcher.branch(branch)  # what the clone has of it may be old, and would show others' changes
        elif not self._pipeline.base:
            return self._proposed_for_unsaid()
        tip = mainline.tip_of(self._repo, branch) or self._commit(self._pipeline.base)
        merge = self._of_merge()
        if tip is None and merge is None:
            raise self._missing(f"the target branch {branch!a} is not in the clone")
        try:
            return self._before_landing(self.since(tip or (merge[0] if merge else ""), self.head()))
        except SourceError:
            if merge is None:
                raise
        # What the system merged, against what it merged into: the same change, without any history.
        note = "reviewed as the merge that the CI system made, since the clone has no more history"
        return self._between(merge[0], self._pipeline.merge, merge[0], merge[-1], note)

    def _before_landing(self, found: Proposal) -> Proposal:
        """The same, or, if the target branch holds it all by now, from where the system says that it began."""
        began = self._commit(self._pipeline.base) if found.base == found.head else None
        if began is None:
            return found
        earlier = self.since(began, found.head)
        if earlier.base == earlier.head:
            return found
        note = "the target branch holds all of it by now: reviewed from where the CI system says that it began"
        return earlier._replace(notes=(*earlier.notes, note))

    def _proposed_for_unsaid(self) -> Proposal:
        """A request of which the number alone is told: the forge's own merge of it shows the target branch."""
        head = self.head()
        notes: tuple[str, ...] = ()
        target = self._target_by_merge()
        if target is None and self._pipeline.default_branch and (main := self._mainline(head)) is not None:
            target = main.tip
            notes = (f"nothing tells which branch this is proposed for: compared with the default branch, {main.name}",)
        if target is None:
            raise self._missing("nothing tells which branch this is proposed for")
        found = self.since(target, head)
        if found.base == head:
            raise self._missing("the target branch holds all of what is proposed, so there is nothing to compare")
        return found._replace(notes=(*found.notes, *notes))

    def _target_by_merge(self) -> str | None:
        """The commit of the target branch that the forge has merged the head of a request into."""
        for name in self._pipeline.head_refs:
            merge_name = f"{name.removesuffix('head')}merge"
            merge = self._fetcher.tip(merge_name)
            if merge:
                self._fetcher.reference(merge_name)
            found = self._repo.commit(merge) if merge else self._kept(merge_name)
            parents = self._repo.parents(found) if found else []
            if len(parents) == TWO:
                return self._commit(parents[0])
        return None

    def pushed(self) -> Proposal:
        """A push: what the branch had not, or, where that is gone, what the main branch has not."""
        head, before = self.head(), self._commit(self._pipeline.base)
        if before is not None and self._leads_to(before, head):
            return self._between(before, head, before, head)
        said = self._fetcher.said
        gone = "was rewritten" if set(self._pipeline.base) - {"0"} else "is new"
        main = self._mainline(head)
        if main is None or self._is_built(main, head):
            return self._rewritten(before, head, gone, said, main)
        found = self.since(main.tip, head)
        return found._replace(notes=(*found.notes, f"the branch {gone}: reviewed from where it left the main branch"))

    def _rewritten(self, before: str | None, head: str, gone: str, said: str, main: Mainline | None) -> Proposal:
        """A push to the main branch, or to one that nothing is known of, which does not go on from what it was."""
        if before is not None and self._repo.merge_base(before, head) is not None:
            found = self.since(before, head)
            return found._replace(notes=(*found.notes, f"the branch {gone}: reviewed from where it left what it was"))
        is_named = bool(set(self._pipeline.base) - {"0"})
        if is_named and self._repo.is_shallow_now() and not any(words in said for words in NOWHERE):
            raise self._missing(f"the way from {self._pipeline.base[:12]}, where the branch was, is not in the clone")
        return self._without_beginning(head, f"the branch {gone}", main)

    def unsaid(self) -> Proposal:
        """A run that names no other end: the branch; of the default branch the newest commit, if it is scheduled."""
        head = self.head()
        main = self._mainline(head)
        if main is None or self._is_built(main, head):
            return self._without_beginning(head, "this run is for no particular change", main)
        return self.since(main.tip, head)

    def _without_beginning(self, head: str, why: str, main: Mainline | None) -> Proposal:
        """A branch of which nothing tells since when it is new: all of it if it is one commit, else an error.

        Of several pushed commits the newest alone must not pass for all of them.
        """
        is_idle = main is not None and self._pipeline.event in SCHEDULED
        if is_idle or not self._repo.parents(head):
            return self._last(head, why)
        if main is None:
            raise SourceError(f"{why}, and no default branch was found that it began from{self._why()}", hint=BASE_HINT)
        what = f"the default branch{f' {main.name!a}' if main.name else ''}"
        raise SourceError(f"{why}, and nothing tells which commits were pushed to {what}", hint=LAST_HINT)

    def since(self, other: str, head: str) -> Proposal:
        """From the point where two commits parted to the second one.

        Raises:
            SourceError: that point is not here.
        """
        branch = self._pipeline.base_branch
        references = [*([f"refs/heads/{branch}"] if branch else []), *self._pipeline.head_refs]
        self._fetcher.deepen_until(lambda: self._repo.knows_where_they_part(other, head), *references)
        bases = self._repo.merge_bases(other, head)
        if not bases:
            raise self._missing("the point where the two sides part is not in the clone")
        if len(bases) > 1:  # merged crosswise: each of them would show changes of the other side
            merged = self._repo.merged_tree(other, head)
            if merged is not None:
                target = Target(TargetKind.BRANCH, self._repo.tree(other), merged)
                return Proposal(target, bases[0], head, ("the branches were merged crosswise: reviewed as a merge",))
            note = "the branches were merged crosswise and conflict: changes of the other side may be shown"
            return self._between(bases[0], head, bases[0], head, note)
        return self._between(bases[0], head, bases[0], head)

    def _between(self, old: str, new: str, base: str, head: str, *notes: str) -> Proposal:
        target = Target(TargetKind.BRANCH, self._repo.tree(old), self._repo.tree(new))
        return Proposal(target, base, head, notes)

    def _last(self, head: str, why: str) -> Proposal:
        """The newest commit alone."""
        parents = self._repo.parents(head)
        if not parents:
            target = Target(TargetKind.COMMIT, self._repo.tree(None), self._repo.tree(head))
            return Proposal(target, head, head, (f"{why}: reviewed the first commit",))
        self._fetcher.deepen_until(lambda: self._repo.commit(parents[0]) is not None)
        if self._repo.commit(parents[0]) is None:
            raise self._missing(f"{why}, and the newest commit's parent is not in the clone")
        target = Target(TargetKind.COMMIT, self._repo.tree(parents[0]), self._repo.tree(head))
        return Proposal(target, parents[0], head, (f"{why}: reviewed the newest commit",))

    def _of_merge(self) -> list[str] | None:
        """The parents of the merge that the system made and checked out, if all are here; not of any other merge."""
        merge = self._pipeline.merge and self._repo.commit(self._pipeline.merge)
        if not merge or merge == self._pipeline.head:
            return None
        parents = self._repo.parents(merge)
        is_theirs = len(parents) == TWO and self._pipeline.head in {"", parents[1]}
        return parents if is_theirs and self._repo.commit(parents[0]) else None

    def _mainline(self, head: str) -> Mainline | None:
        """The default branch; None where nothing tells."""
        pipeline = self._pipeline
        own, said = pipeline.branch, pipeline.default_branch
        if said and said == own:
            return Mainline(said, head)
        return mainline.find(self._repo, head, own=own, said=said, fetcher=self._fetcher)

    def _is_built(self, main: Mainline, head: str) -> bool:
        """Whether the default branch is what is built, or may be: it holds the commit, and no other branch is known.

        Systems spell a branch in many ways, so a name that is of no branch does not tell the default branch apart.
        """
        branch = self._pipeline.branch
        if branch and branch == main.name:
            return True
        return not self._pipeline.tag and not self._is_branch(branch) and self._leads_to(head, main.tip)

    def _is_branch(self, name: str) -> bool:
        """Whether the clone or its remote has a branch of that name."""
        if not name:
            return False
        if mainline.tip_of(self._repo, name) is None:
            self._fetcher.branch(name)
        return mainline.tip_of(self._repo, name) is not None

    def _commit(self, oid: str) -> str | None:
        """A commit by its id, fetched if it is missing; None for zeros and for what is gone."""
        if not set(oid) - {"0"}:
            return None
        found = self._repo.commit_by_id(oid)
        if found is None and len(oid) == self._repo.layout.hex_digits:  # no remote is asked for the first digits
            self._fetcher.reference(oid)
            found = self._repo.commit_by_id(oid)
        return found

    def _leads_to(self, before: str, head: str) -> bool:
        self._fetcher.deepen_until(lambda: self._repo.knows_where_they_part(before, head))
        return self._repo.merge_base(before, head) == before

    def _why(self) -> str:
        return f" ({self._fetcher.said})" if self._fetcher.said else ""

    def _missing(self, what: str) -> SourceError:
        return SourceError(f"{what}{self._why()}", hint=f"Give the run {self._pipeline.depth}, or name --base")
