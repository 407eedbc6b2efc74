"""Several commits: what is on record is shown again, what is not is reviewed, one by one or all together."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

from kilo_review.core.errors import DeadlineError, ModelError, SourceError
from kilo_review.core.finding import Category, Finding, Status, fold
from kilo_review.core.outcome import Outcome, State
from kilo_review.judge.policy import mark_blocking
from kilo_review.ledger.records import NEXT_COMMIT
from kilo_review.models.base import answer_identity
from kilo_review.plan.context import symbol_at
from kilo_review.plan.deletion import DELETED, is_back
from kilo_review.review import cache, pipeline, suppression
from kilo_review.sanitize.terminal import printable
from kilo_review.source import history
from kilo_review.source.text_view import as_shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilo_review.judge.baseline import Known
    from kilo_review.ledger.records import Ledger, Receipt
    from kilo_review.plan.syntax import Syntax
    from kilo_review.review.request import Job, Watch
    from kilo_review.review.session import Session
    from kilo_review.source.history import Commit, Series
    from kilo_review.source.repo import Repository

MOST_ONE_BY_ONE = 100
"""More commits than this are not even measured: what they change together is looked at."""
FIXED = "fixed by a later commit"
OID_DIGITS = 12
TELLING = 12
"""Characters of code, without white space, that hardly stand in two files by chance."""
MOST_ROWS = 40
"""Lines over which a statement may be distributed."""
GUARDED = frozenset({Category.SECURITY, Category.CONCURRENCY, Category.RESOURCE})
"""Categories in which a line is often wrong because a check, a lock or a release beside it is gone."""
MOST_FORMS = 8
"""Places of a statement behind which brackets are looked for."""
COMMENTS = ("#", "//", "/*", "--", ";", "%", "<!--")


def begin(job: Job, found: Sequence[Series], session: Session) -> None:
    """Put on record as not reviewed what has no receipt yet, before any of it is looked at."""
    for each in found:
        receipts, _ = valid_receipts(job, {commit.change for commit in each.commits}, session)
        missing = [commit for commit in each.commits if commit.change not in receipts and not commit.is_empty]
        resolve(missing, session.ledger)
        if missing and not _net_receipt(job, each, session)[0]:
            session.ledger.begin(commit.change for commit in missing)


def resolve(commits: Sequence[Commit], ledger: Ledger) -> None:
    """Find the commits of which a hook could only note upon which tree they would be made."""
    for row in ledger.unresolved():
        made = {commit.change for commit in commits if row[1] == NEXT_COMMIT and _is_made_on(commit, row[0])}
        if missing := made - ledger.reviewed(made):
            ledger.resolve(row, missing)


def _is_made_on(commit: Commit, base: str) -> bool:
    return not commit.is_empty and base in {commit.change[0], *commit.bases[:1]}


def run(job: Job, series: Series, watch: Watch, session: Session) -> Iterator[Outcome]:
    """Review what has no receipt, and recall the rest: one outcome for each part.

    Raises:
        SourceError: git could not tell what a change is.
        DeadlineError: the time is used up; what was not reached is on record.
    """
    receipts, word = valid_receipts(job, {commit.change for commit in series.commits}, session)
    tip = series.net.head
    assert tip
    missing = [commit for commit in series.commits if commit.change not in receipts and not commit.is_empty]
    together, its_word = _net_receipt(job, series, session) if missing else (None, "")
    if together:
        outcome = Outcome(series.net, notes=[its_word] if its_word else [])
        cache.recalled(together, outcome, _decided(job, session))
        outcome.findings = mark_blocking(outcome.findings, job.fail_on)
        yield outcome
        return
    if missing and _is_net_cheaper(series, missing, session):
        outcome = pipeline.run(job.of(series.net), watch, session)
        changes = {commit.change for commit in series.commits}
        # What was left of one of them is a part of this, or gone; what was begun is on record as a part of this.
        begun = session.ledger.begun if outcome.count(State.NOT_REVIEWED) else changes
        session.ledger.settle(changes & begun)
        yield outcome
        return
    for commit in series.commits:
        if commit.change in receipts:
            outcome = _recalled(job, commit, receipts[commit.change], session, tip)
            outcome.notes += [word] if word else []
            yield outcome
    yield from _one_by_one(job, missing, watch, session, tip)


def run_overdue(job: Job, commits: Sequence[Commit], watch: Watch, session: Session) -> Iterator[Outcome]:
    """Review commits that were pushed without a review; what they say of now is what HEAD holds."""
    if commits:
        yield from _one_by_one(job, commits, watch, session, session.repository.head_tree())


def _net_receipt(job: Job, series: Series, session: Session) -> tuple[Receipt | None, str]:
    change = series.net.change
    if change is None:
        return None, ""
    receipts, word = valid_receipts(job, {change}, session)
    return receipts.get(change), word


def valid_receipts(
    job: Job, changes: set[tuple[str, str]], session: Session
) -> tuple[dict[tuple[str, str], Receipt], str]:
    """Return the receipts that still say what a review would say now, by the model that would be asked now.

    Returns:
        The receipts, and on whose word they count if no model could be asked who it is; else "".
    """
    found = receipts_on_record(job, changes, session)
    asked = [receipt for receipt in found.values() if receipt.answerer]
    if not asked:
        return found, ""
    try:
        answerers = {who: _is_who_would_answer(job, who, session) for who in {each.answerer for each in asked}}
    except ModelError as error:
        return found, f"taken on the word of {cache.by_whom(asked)}: no model could be asked now ({error.message})"
    return {change: each for change, each in found.items() if answerers.get(each.answerer, True)}, ""


def receipts_on_record(job: Job, changes: set[tuple[str, str]], session: Session) -> dict[tuple[str, str], Receipt]:
    """Return the receipts by the settings that count now, whichever model gave them; asks no server."""
    found = session.ledger.receipts(changes, job.identity)
    decided = _decided(job, session)
    return {change: receipt for change, receipt in found.items() if cache.is_valid(receipt, decided)}


def _is_who_would_answer(job: Job, answerer: str, session: Session) -> bool:
    """Tell whether a review would be answered by the same model, and verified by the same one, as a receipt was."""
    finder, _, verifier = answerer.partition("+")
    if finder != answer_identity(session.would_answer(job.model), job.prompts.version, job.votes):
        return False
    if not verifier:
        return True
    judge = session.would_answer(job.verify_model) if job.verify_model else None
    return judge is not None and verifier == answer_identity(judge, job.prompts.verify_version)


def _decided(job: Job, session: Session) -> Known:
    return suppression.known(job, session.dismissals, None, session.syntax)


def _one_by_one(
    job: Job, missing: Sequence[Commit], watch: Watch, session: Session, tip: str
) -> Iterator[Outcome]:  # fmt: skip
    for number, commit in enumerate(missing):
        try:
            _refuse_if_cut(commit)
            job.deadline.cap(1.0)
            outcome = pipeline.run(job.of(commit.target), watch, session)
        except (DeadlineError, SourceError) as error:
            session.ledger.leave_all([rest.change for rest in missing[number:]], error.message)
            raise
        try:
            outcome.findings = as_of_now(job, commit, outcome.findings, session, tip)
        except (DeadlineError, SourceError):  # the time is used up: what was found is told as it is
            outcome.findings = mark_blocking([_named(finding, commit) for finding in outcome.findings], job.fail_on)
        yield outcome
        if outcome.interrupted:
            return


def _refuse_if_cut(commit: Commit) -> None:
    if commit.is_cut:
        raise SourceError(
            f"the parent of commit {commit.oid[:OID_DIGITS]} is not in this clone, so its change is unknown",
            hint="Deepen it: git fetch --deepen=1 (in CI: fetch-depth: 2, GIT_DEPTH: 2)",
        )


def _recalled(job: Job, commit: Commit, receipt: Receipt, session: Session, tip: str) -> Outcome:
    outcome = Outcome(commit.target)
    cache.recalled(receipt, outcome, _decided(job, session))
    outcome.findings = on_record(job, commit, receipt, session, tip)
    return outcome


def on_record(job: Job, commit: Commit, receipt: Receipt, session: Session, tip: str) -> list[Finding]:
    """What was found in a commit, as it stands at the tip, less what has been accepted since."""
    found = cache.findings_of(receipt, _decided(job, session))
    return as_of_now(job, commit, found, session, tip)


def _is_net_cheaper(series: Series, missing: Sequence[Commit], session: Session) -> bool:
    """Whether all commits together change less than those that have no receipt, one by one."""
    if len(missing) == 1 or any(commit.is_cut for commit in missing):
        return False
    if len(missing) > MOST_ONE_BY_ONE:
        return True
    repository = session.repository
    left = session.ledger.unreviewed([commit.change for commit in missing])
    partly = [left[commit.change] for commit in missing if commit.change in left and left[commit.change].entries]
    wholly = [
        (commit.bases[0], commit.tree)
        for commit in missing
        if len(commit.bases) == 1 and not (commit.change in left and left[commit.change].entries)
    ]
    lines = sum(entry.added + entry.removed for each in partly for entry in each.entries)
    lines += history.lines_changed(repository, wholly)
    assert series.net.base
    assert series.net.head
    return history.lines_changed(repository, [(series.net.base, series.net.head)]) < lines


# What became of a finding since


def as_of_now(
    job: Job, commit: Commit, findings: Sequence[Finding], session: Session, tip: str
) -> list[Finding]:  # fmt: skip
    """Findings with their commit; those that a later commit has fixed are marked and count no more."""
    present = set(map(id, still_there(findings, commit.tree, tip, session, commit)))
    marked = [
        _named(finding, commit) if id(finding) in present else finding._replace(status=Status.SUPPRESSED, reason=FIXED)
        for finding in findings
    ]
    return mark_blocking(marked, job.fail_on)


def still_there(
    findings: Sequence[Finding], tree: str, tip: str, session: Session, commit: Commit | None = None
) -> list[Finding]:
    """Those of the findings in `tree` that nothing up to `tip` has fixed."""
    if tree == tip or not findings:
        return list(findings)
    renamed = history.renamed(session.repository, tree, tip)
    return [
        finding
        for finding in findings
        if finding.status is not Status.ACTIVE or not _is_fixed(finding, commit, tree, tip, renamed, session)
    ]


def _named(finding: Finding, commit: Commit) -> Finding:
    where = f"in commit {commit.oid[:OID_DIGITS]}"
    cell = finding.reason if finding.reason and finding.reason.startswith("in cell ") else ""
    return finding._replace(reason=f"{cell}, {where}" if cell else finding.reason or where)


def _is_fixed(
    finding: Finding, commit: Commit | None, tree: str, tip: str, renamed: dict[str, str], session: Session
) -> bool:
    """Tell whether later commits undid what a finding is about. In doubt they did not, and the finding counts.

    Code that was removed is back if it stands as often as before, between the same lines. Code that was there is gone
    if none of its lines is left, in any spacing, before a comment, or moved to another file.
    """
    repository = session.repository
    path = renamed.get(finding.path, finding.path)
    now = as_shown(path, repository.file_in(tip, path) or b"")
    if finding.is_removed and finding.evidence.startswith(DELETED):
        return bool(now) and is_back(finding.evidence, path, now, session.syntax)
    if finding.is_removed:
        before = repository.file_in(commit.bases[0], finding.path) if commit and commit.bases else None
        return before is not None and _is_back(finding, as_shown(finding.path, before), now, session.syntax)
    written = repository.file_in(tree, finding.path) or b""
    then = as_shown(finding.path, written)
    lines = [line for line in finding.evidence.split("\n") if line.strip()]
    if now and finding.category in GUARDED and not _is_new(lines, finding.path, commit, repository):
        return False
    if not any(cache.is_in(line, cache.lines_of(finding.path, then)) for line in lines):
        return False
    is_counted = then == written  # git finds the line in its own file, too
    moves = (_has_moved(line, tree, tip, repository, is_counted=is_counted) for line in lines)
    return not (_is_wrapped(lines, now) or any(_is_left(line, path, now) for line in lines) or any(moves))


def _is_new(lines: Sequence[str], path: str, commit: Commit | None, repository: Repository) -> bool:
    """Tell whether the commit brought one of these lines.

    What is wrong about a line that was there before is in what the commit did around it, which stays when that line
    changes.
    """
    if commit is None or not commit.bases:
        return True
    before = cache.lines_of(path, repository.file_in(commit.bases[0], path) or b"")
    return not all(fold(line) in before for line in lines)


def _is_back(finding: Finding, before: bytes, now: bytes, syntax: Syntax) -> bool:
    lines = [line.rstrip() for line in finding.evidence.split("\n")]
    # A quotation may go on with lines that the change added: then its first line tells.
    for wanted in (lines, lines[:1]):
        places = _neighbours(wanted, finding.path, before, syntax)
        if places:
            return not (places - _neighbours(wanted, finding.path, now, syntax))
    return False


def _neighbours(
    wanted: Sequence[str], path: str, content: bytes, syntax: Syntax
) -> Counter[tuple[str, str, str | None]]:
    """Count the places of some lines in a file by the lines above and below, and by their symbol."""
    lines = ["", *(printable(line).rstrip() for line in content.decode("utf-8", "replace").split("\n")), ""]
    places = (at for at in range(1, len(lines) - len(wanted)) if lines[at : at + len(wanted)] == wanted)
    return Counter((lines[at - 1], lines[at + len(wanted)], symbol_at(path, content, at, syntax)) for at in places)


def _is_left(line: str, path: str, content: bytes) -> bool:
    """Tell whether a line is still in a file: alone, behind something else, or before a comment."""
    folded = fold(line)
    lines = [each for each in cache.lines_of(path, content) if folded in each]
    rest = (each[len(folded) :] for each in lines if each.startswith(folded))
    return any(each.endswith(folded) for each in lines) or any(each.startswith(COMMENTS) for each in rest)


def _is_wrapped(lines: Sequence[str], content: bytes) -> bool:
    """Tell whether the code is still there, with other line breaks: some whole lines of the file are the same code."""
    wanted = _without_layout("".join(lines))
    rows = [fold(row) for row in content.decode("utf-8", "replace").split("\n")] if len(wanted) >= TELLING else []
    forms = {wanted, *(f"{wanted[:at]}({wanted[at:]})" for at in _before_expressions(wanted))}
    return any(_begins_with(rows[at : at + MOST_ROWS], forms) for at, row in enumerate(rows) if row)


def _before_expressions(code: str) -> list[int]:
    """Return where an expression reaches to the end of a statement, so that brackets around it change nothing."""
    places = re.finditer(r"\A(?:return|yield|assert|raise)|(?<![=!<>])=(?!=)", code)
    return [match.end() for match in islice(places, MOST_FORMS)]


def _begins_with(rows: Sequence[str], forms: set[str]) -> bool:
    """Tell whether the first of these rows are the wanted code, together, in one of its forms."""
    joined = ""
    for row in rows:
        joined = _without_layout(joined + row)
        if joined in forms:
            return True
        # Whether a comma is the last one shows in the next row.
        if not any(form.startswith(joined.rstrip(",")) for form in forms):
            return False
    return False


def _without_layout(text: str) -> str:
    """Return code without white space, and without the commas that formatters put behind a last element."""
    return re.sub(r",(?=[)\]}])", "", fold(text))


def _has_moved(line: str, tree: str, tip: str, repository: Repository, *, is_counted: bool) -> bool:
    """Tell whether a line that its own file has lost is in one more of the other files than before."""
    if len(fold(line)) < TELLING:
        return False
    return repository.count(tip, line) > repository.count(tree, line) - is_counted
