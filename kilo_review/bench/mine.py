"""Cases from a project's own history: small fixes turned round, so that the bug comes back; refactorings as they are.

Everything is read from git on this machine, by rules that are told in docs/bench.md; nobody has checked the
result by hand, which is why each case says why it was taken.
"""

from __future__ import annotations

import re
from itertools import islice
from pathlib import PurePosixPath
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.bench.case import RENAMED, Case, File, changed_lines
from kilo_review.plan import scope
from kilo_review.plan.rules import language_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilo_review.source.repo import Repository

MOST_LINES = 30
"""Changed lines of a commit; a larger one does more than one thing."""
MOST_FILES = 2
LONGEST_FILE = 400
"""Lines; a case shows its files whole."""
FIX = (
    r"(?i)\b(?:fix(?:es|ed|ing)?|bug|crash(?:es|ed)?|leak(?:s|ed)?|deadlock|race|overflow|off.by.one|regression"
    r"|vulnerab\w+)\b"
)
CLEAN_UP = (
    r"(?i)\b(?:refactor\w*|renam\w+|extract\w*|simplif\w+|inline[sd]?|clean[ -]?up|dedup\w*|reorgani[sz]\w+"
    r"|tid(?:y|ied))\b"
)
NOISE = (
    r"(?i)^(?:revert|merge|bump|release|version|prepare|v?\d+\.\d+)\b"
    r"|^(?:chore|ci|docs?|style|build|test)s?(?:\(.*?\))?!?:"
    r"|\b(?:typos?|spelling|grammar|lint(?:er|ing)?|flake8|format(?:ting)?|whitespace|indent\w*|changelog|readme"
    r"|comments?|docstrings?|docs?|documentation|copyright|licen[cs]e|depend(?:ency|encies|abot)|renovate"
    r"|translations?|pipeline|ci|workflow|warnings?|flaky|tests?)\b"
)
TEST = (
    r"(?i)(?:\A|/)(?:tests?|specs?|__tests__|testdata|fixtures)/|(?:\A|/)(?:test_[^/]*|conftest\.py)\Z"
    r"|[._-](?:test|spec)s?\.\w+\Z|Tests?\.java\Z"
)
REVERTED = r"This reverts commit ([0-9a-f]{7,40})"
CODE = frozenset({"yaml", "json", "toml", "markdown", "html", "css"})
"""Languages that are known and are no code."""


class Commit(NamedTuple):
    """One commit of the history.

    Attributes:
        oid: its id.
        parents: their ids.
        subject: first line of its message.
        message: the whole of it.
        files: path → changed lines; -1 for a binary file.
    """

    oid: str
    parents: tuple[str, ...]
    subject: str
    message: str
    files: dict[str, int]


def mined(repository: Repository, since: str | None, limit: int) -> Iterator[Case]:
    """Cases, as many fixes as refactorings if there are enough, the newest first.

    Args:
        repository: whose history.
        since: a date as git takes it; None for all of it.
        limit: most cases of both kinds together.
    """
    history = list(commits(repository, since))
    undone = {match[1][:7] for commit in history for match in re.finditer(REVERTED, commit.message)}
    honest = [commit for commit in history if not is_noise(commit) and commit.oid[:7] not in undone]
    fixes = _cases(repository, [commit for commit in honest if re.search(FIX, commit.subject)], is_fix=True)
    clean = _cases(repository, _lasting(honest), is_fix=False)
    yield from islice(_alternating(fixes, clean), limit)


def _alternating(fixes: Iterator[Case], clean: Iterator[Case]) -> Iterator[Case]:
    sources = [fixes, clean]
    while sources:
        for source in list(sources):
            case = next(source, None)
            if case is None:
                sources.remove(source)
            else:
                yield case


def is_noise(commit: Commit) -> bool:
    """Whether a commit is nothing to learn from: a merge, a revert, a version bump, prose, a matter of tooling."""
    return len(commit.parents) != 1 or bool(re.search(NOISE, commit.subject)) or "This reverts commit" in commit.message


def _lasting(history: Sequence[Commit]) -> list[Commit]:
    """Refactorings in whose files nothing was fixed afterwards; what was, may have been broken by them."""
    found, mended = [], set[str]()
    for commit in history:  # the newest first
        if re.search(FIX, commit.subject):
            mended |= set(commit.files)
        elif re.search(CLEAN_UP, commit.subject) and not mended.intersection(commit.files):
            found.append(commit)
    return found


def commits(repository: Repository, since: str | None) -> Iterator[Commit]:
    """The history of HEAD, the newest first.

    Raises:
        SourceError: git cannot tell it.
    """
    separator = token_hex(16)  # which no message can hold
    form = f"--format={separator}%H%x00%P%x00%s%x00%B%x00"
    limits = [f"--since={since}"] if since else []
    output = repository.run("log", "--no-show-signature", "--no-renames", "--numstat", form, *limits, "HEAD", "--")
    for part in output.decode("utf-8", "surrogateescape").split(separator)[1:]:
        oid, parents, subject, message, rest = part.split("\0", 4)
        files = {}
        for row in filter(None, rest.split("\n")):
            added, removed, path = row.split("\t", 2)
            files[path] = -1 if added == "-" else int(added) + int(removed)
        yield Commit(oid, tuple(parents.split()), subject.strip(), message, files)


def _cases(repository: Repository, history: Sequence[Commit], *, is_fix: bool) -> Iterator[Case]:
    for commit in history:
        files = _code(commit)
        if files is None:
            continue
        sides = [_sides(repository, commit, path) for path in files]
        changed = [side for side in sides if side is not None]
        if len(changed) == len(files):
            yield _case(commit, changed, is_fix=is_fix)


def _code(commit: Commit) -> list[str] | None:
    """The files of code that a commit changes, without its tests; None if it is too much, or something else."""
    code = [path for path in commit.files if not re.search(TEST, path) and _is_code(path)]
    rest = [path for path in commit.files if path not in code and not re.search(TEST, path) and not _is_prose(path)]
    lines = sum(commit.files[path] for path in code)
    if not code or rest or len(code) > MOST_FILES or lines > MOST_LINES or any(commit.files[path] < 1 for path in code):
        return None
    return code


def _is_code(path: str) -> bool:
    if RENAMED in path or not path.isprintable():  # a case's heading cannot name it
        return False
    name = PurePosixPath(path)
    is_generated = bool(re.search(scope.GENERATED_NAMES, path) or re.search(scope.MINIFIED_NAMES, path))
    is_foreign = scope.VENDOR_FOLDERS.intersection(name.parts[:-1]) or name.name in scope.LOCK_FILES
    return language_of(path) not in {"", *CODE} and not is_generated and not is_foreign


def _is_prose(path: str) -> bool:
    """Files that many fixes touch as well, such as the list of changes."""
    return PurePosixPath(path).suffix.lower() in {".md", ".rst", ".txt"}


def _sides(repository: Repository, commit: Commit, path: str) -> tuple[str, str, str] | None:
    """A file before and after a commit; None where it is not there, no text, generated or too long."""
    texts = []
    for revision in (commit.parents[0], commit.oid):
        content = repository.file_in(revision, path)
        if content is None or b"\0" in content or b"\r" in content or re.search(scope.GENERATED_HEADER, content[:2048]):
            return None
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            return None
        if text.count("\n") > LONGEST_FILE or not text.endswith("\n") or len(text.splitlines()) != text.count("\n"):
            return None
        texts.append(text)
    return path, texts[0], texts[1]


def _case(commit: Commit, sides: Sequence[tuple[str, str, str]], *, is_fix: bool) -> Case:
    files = tuple(
        File(path, path, after, before) if is_fix else File(path, path, before, after) for path, before, after in sides
    )
    lines = sum(commit.files[path] for path, *_ in sides)
    size = f"{lines} lines in {len(sides)} file{'s' * (len(sides) > 1)}"
    subject = " ".join(commit.subject.split())
    if not is_fix:
        why = f"commit {commit.oid[:12]} calls itself a refactoring ({size}), and nothing was fixed there afterwards"
        return Case(f"clean-{commit.oid[:12]}", subject, language_of(files[0].path), why, files)
    first, last = changed_lines(files[0])
    why = f"commit {commit.oid[:12]} calls itself a fix ({size}); here it is turned round"
    return Case(
        f"fix-{commit.oid[:12]}", subject, language_of(files[0].path), why, files, "bug", files[0].path, first, last
    )
