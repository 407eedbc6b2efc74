"""A plan is carried out. Whatever fails is said, and what was not posted is handed back: nothing is lost on the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kilo_review.core.errors import ForgeError, MissingError, RefusedPlaceError, UnsureError
from kilo_review.forge import body
from kilo_review.forge.marks import same

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kilo_review.core.finding import Finding
    from kilo_review.forge.base import Draft, Forge, Remark, Summary
    from kilo_review.forge.body import Digest
    from kilo_review.forge.plan import Edit, Plan


@dataclass(slots=True)
class Posted:
    """What came of posting.

    Attributes:
        forge: its name.
        plan: what was to be done; None where it could not be told.
        created: findings that have a new comment.
        kept: comments that stayed as they were.
        updated: comments that were changed.
        reopened: comments whose finding is back.
        resolved: comments whose finding is gone.
        listed: findings that stand in the summary.
        unposted: findings that stand nowhere on the forge.
        nothing: why there was nothing to post to; "" if there was.
        failures: what went wrong, in a sentence each, with the next step.
        notes: what was done in another way than usual.
    """

    forge: str
    plan: Plan | None = None
    created: list[Finding] = field(default_factory=list)
    kept: int = 0
    updated: int = 0
    reopened: int = 0
    resolved: int = 0
    listed: list[Finding] = field(default_factory=list)
    unposted: list[Finding] = field(default_factory=list)
    nothing: str = ""
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """What was done, in one line."""
        if self.nothing:
            return f"nothing was posted to {self.forge}: {self.nothing}"
        counts = {
            "new": len(self.created),
            "changed": self.updated,
            "found again": self.reopened,
            "resolved": self.resolved,
            "as before": self.kept,
        }
        words = [f"{number} {word}" for word, number in counts.items() if number]
        words += [f"{len(self.listed)} in the summary"] if self.listed else []
        missing = f"; {len(self.unposted)} could not be posted" if self.unposted else ""
        return f"posted to {self.forge}: {', '.join(words) or 'nothing new'}{missing}"


@dataclass(slots=True)
class SummaryPlan:
    """What is needed for the summary.

    Attributes:
        digest: what it tells besides findings.
        there: those that are there, the oldest first.
        posted: comments that earlier runs made for this commit.
        is_wanted: whether there is anything to tell even if every finding has a comment.
        carried: rows of an earlier summary on what was not looked at this time.
    """

    digest: Digest
    there: Sequence[Summary] = ()
    posted: int = 0
    is_wanted: bool = False
    carried: Sequence[str] = ()


def apply(plan: Plan, forge: Forge, wanted: SummaryPlan | None = None) -> Posted:
    """Do what a plan says, new comments first; then the summary, which tells what had no place.

    Args:
        plan: what is to be done.
        forge: where.
        wanted: what the summary needs; None for no summary.
    """
    poster = _Poster(forge, Posted(forge.name, plan, kept=len(plan.keep)))
    return poster.run(plan, wanted)


class _Poster:
    def __init__(self, forge: Forge, posted: Posted) -> None:
        self._forge = forge
        self._posted = posted
        self._known: set[str] = set()
        self._made: Counter[str] = Counter()
        """Fingerprints of comments that this run has made for certain."""
        self._untold: list[Finding] = []
        """Findings whose comment is gone, or still says that they are."""

    def run(self, plan: Plan, wanted: SummaryPlan | None) -> Posted:
        """All of it."""
        posted = self._posted
        self._known = {remark.id for remark in _remarks_of(plan)}
        homeless = [draft.finding for draft in self._create(plan.create)]
        posted.created = [draft.finding for draft in plan.create if not _among(draft.finding, homeless)]
        posted.updated = self._edit(plan.update, self._forge.update)
        posted.reopened = self._edit(plan.reopen, self._forge.reopen)
        posted.resolved = self._edit(plan.resolve, self._forge.resolve)
        self._summarise([*homeless, *self._untold, *plan.rest], wanted)
        return posted

    def _create(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Make comments, together if that can be; those that could not be made."""
        if self._forge.takes_bundles and len(drafts) > 1:
            try:
                return self._created(drafts)
            except RefusedPlaceError:
                pass  # one of them: each is tried by itself
        left: list[Draft] = []
        for draft in drafts:
            try:
                left += self._created([draft])
            except RefusedPlaceError as error:
                self._note(error.message)
                left.append(draft)
        return left

    def _created(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Make these comments; those that could not be made.

        Where it is not known whether they were, what is there now is looked at, and what is missing is tried once more.
        """
        try:
            self._forge.create(drafts)
        except RefusedPlaceError:
            raise
        except UnsureError as error:
            return self._looked_for(drafts, error)
        except ForgeError as error:
            self._fail(error)
            return list(drafts)
        self._made.update(draft.finding.fingerprint for draft in drafts)
        return []

    def _looked_for(self, drafts: Sequence[Draft], error: ForgeError) -> list[Draft]:
        missing = self._still_missing(drafts)
        if missing:
            try:
                self._forge.create(missing)
            except ForgeError as again:
                error, missing = again, self._still_missing(missing)
            else:
                missing = []
        if missing is None or missing:
            self._fail(error)
        left = list(drafts) if missing is None else missing
        self._made.update(draft.finding.fingerprint for draft in drafts if draft not in left)
        return left

    def _still_missing(self, drafts: Sequence[Draft]) -> list[Draft] | None:
        """Those of the drafts that are not on the forge; None if it does not tell."""
        try:
            new = Counter(each.fingerprint for each in self._forge.remarks() if each.id not in self._known)
        except ForgeError:
            return None
        new -= self._made
        missing = []
        for draft in drafts:
            if new[draft.finding.fingerprint]:
                new[draft.finding.fingerprint] -= 1
            else:
                missing.append(draft)
        return missing

    def _edit(self, edits: Sequence[Edit], change: Callable[[Remark, str], str | None]) -> int:
        done = 0
        for remark, text, finding in edits:
            try:
                self._note(change(remark, text) or "")
            except ForgeError as error:
                is_deleted = isinstance(error, MissingError)  # by somebody else
                if not is_deleted:
                    self._fail(error)
                if finding is not None and (is_deleted or remark.is_settled):
                    self._untold.append(finding)
            else:
                done += 1
        return done

    def _summarise(self, findings: Sequence[Finding], wanted: SummaryPlan | None) -> None:
        posted = self._posted
        if wanted is None or not (findings or wanted.is_wanted or wanted.there):
            posted.unposted = list(findings)
            return
        number = wanted.posted + len(posted.created)
        text = body.summary(wanted.digest, findings, wanted.carried, posted=number, longest=self._forge.longest)
        there = wanted.there[0] if wanted.there else None
        try:
            if there is None or not same(there.body, text):
                self._summarised(text, there)
        except ForgeError as error:
            self._fail(error)
            posted.unposted = list(findings)
            return
        posted.listed = list(findings)
        self._edit_out(wanted.there[1:])

    def _summarised(self, text: str, there: Summary | None) -> None:
        try:
            self._forge.summarise(text, there)
        except MissingError:
            if there is None:
                raise
            self._forge.summarise(text, None)  # somebody has deleted it
        except UnsureError:
            found = next((each for each in self._forge.summaries() if same(each.body, text)), None)
            if found is None:
                self._forge.summarise(text, there)

    def _edit_out(self, summaries: Sequence[Summary]) -> None:
        """Two runs that met have made two."""
        for summary in summaries:
            try:
                self._forge.remove(summary)
            except MissingError:
                continue
            except ForgeError as error:
                self._fail(error)

    def _fail(self, error: ForgeError) -> None:
        if str(error) not in self._posted.failures:
            self._posted.failures.append(str(error))

    def _note(self, text: str) -> None:
        if text and text not in self._posted.notes:
            self._posted.notes.append(text)


def _remarks_of(plan: Plan) -> list[Remark]:
    edits = (*plan.update, *plan.reopen, *plan.resolve)
    return [*plan.keep, *(edit.remark for edit in edits)]


def _among(finding: Finding, findings: Sequence[Finding]) -> bool:
    return any(finding is each for each in findings)
