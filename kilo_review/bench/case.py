"""One case: a tiny change to a tiny repository, with the line and kind of its bug, or clean. A Markdown file.

Below the head (docs/bench.md) each file of the repository has a heading with its path, or `old -> new` for a
renamed one, and a fenced block that shows the whole file: lines begin with a blank, `-` or `+` as in a diff.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review.core import front_matter
from kilo_review.core.atomic_write import is_plain_path
from kilo_review.core.errors import ConfigError
from kilo_review.core.finding import Category, digest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

KINDS = tuple(category.value for category in Category if category is not Category.UNICODE)
HEADING = r"# (?:(?P<old>\S.*?) -> )?(?P<new>\S.*)"
RENAMED = " -> "
UNPRINTABLE = "[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]"


class File(NamedTuple):
    """One file before and after; None where it is not there."""

    path: str
    old_path: str
    before: str | None
    after: str | None


class Case(NamedTuple):
    """A change with a known answer.

    Attributes:
        name: the file's name without its ending.
        title: what it is about.
        language: of the code.
        why: what goes wrong with which input; of a clean one, why it is right.
        files: the repository.
        kind: the bug's category; "" for a clean one.
        file: where the bug is.
        first: first new-side line on which a finding hits it.
        last: last such line.
    """

    name: str
    title: str
    language: str
    why: str
    files: tuple[File, ...]
    kind: str = ""
    file: str = ""
    first: int = 0
    last: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing to find."""
        return not self.kind

    @property
    def digest(self) -> str:
        """32 hex digits that change with the case."""
        return digest(repr(self))


def load_all(folder: Path) -> list[Case]:
    """Every case of a folder, by name.

    Raises:
        ConfigError: there is none, or one of them is malformed.
    """
    if not folder.is_dir():
        raise ConfigError(f"the folder of cases {str(folder)!a} does not exist")
    cases = [load(path) for path in sorted(folder.glob("*.md")) if path.name != "README.md"]
    if not cases:
        raise ConfigError(f"there are no cases in {str(folder)!a}", hint="A case is a file NAME.md; see docs/bench.md")
    return cases


def load(path: Path) -> Case:
    """Read one case.

    Raises:
        ConfigError: it cannot be read or is malformed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the case {str(path)!a} cannot be read: {error}") from None
    return parse(text, path.stem)


def parse(text: str, name: str) -> Case:
    """A case from its text.

    Raises:
        ConfigError: it is malformed.
    """
    origin = f"the case {name!a}"
    head, body = front_matter.split(text, origin)
    missing = [key for key in ("title", "language", "why") if not str(head.get(key) or "").strip()]
    if missing:
        raise ConfigError(f"{origin} has no {missing[0]!a}")
    files = tuple(_files(body, origin))
    if not files or all(each.before == each.after and each.path == each.old_path for each in files):
        raise ConfigError(f"{origin} changes nothing")
    facts = {key: str(head[key]).strip() for key in ("title", "language", "why")}
    case = Case(name, facts["title"], facts["language"], facts["why"], files)
    return _with_bug(case, head, origin) if head.get("kind") else case


def render(case: Case) -> str:
    """The text of a case."""
    head = {"title": case.title, "language": case.language}
    if not case.is_clean:
        head |= {"kind": case.kind, "file": case.file, "lines": f"{case.first}-{case.last}"}
    head["why"] = case.why
    rows = ["---", *(f"{key}: {_quoted(value)}" for key, value in head.items()), "---"]
    for file in case.files:
        title = file.path if file.path == file.old_path else f"{file.old_path}{RENAMED}{file.path}"
        lines = list(_diff(file.before or "", file.after or ""))
        longest = max((len(run) for line in lines for run in re.findall(r"`{3,}", line)), default=2)
        fence = "`" * (longest + 1)
        rows += ["", f"# {title}", "", f"{fence}diff", *lines, fence]
    return "\n".join(rows) + "\n"


def _quoted(text: str) -> str:
    """A JSON text, which is a YAML text if what YAML does not take as it is, or takes for a line end, is escaped."""
    return re.sub(UNPRINTABLE, lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))


def changed_lines(file: File) -> tuple[int, int]:
    """First and last new-side line that a change adds; where it only removes, the lines beside the gap."""
    added, gaps, number = [], [], 0
    for line in _diff(file.before or "", file.after or ""):
        if line.startswith("-"):
            gaps += [number, number + 1]
            continue
        number += 1
        if line.startswith("+"):
            added.append(number)
    lines = added or [min(max(1, gap), max(number, 1)) for gap in gaps]
    return min(lines), max(lines)


def _with_bug(case: Case, head: dict[str, Any], origin: str) -> Case:
    kind, file = str(head["kind"]), str(head.get("file") or "")
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", str(head.get("lines", "")))
    known = {each.path: each for each in case.files}
    if kind not in KINDS:
        raise ConfigError(f"{origin}: {kind!a} is no kind of bug", hint=f"There are: {', '.join(KINDS)}")
    if file not in known or match is None:
        raise ConfigError(f"{origin}: a bug needs `file`, one of the case's, and `lines`, such as 3-4")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last <= len((known[file].after or "").splitlines()):
        raise ConfigError(f"{origin}: {file} has no lines {first}-{last}")
    return case._replace(kind=kind, file=file, first=first, last=last)


def _files(body: str, origin: str) -> Iterable[File]:
    lines = body.splitlines()
    index = 0
    while index < len(lines):
        heading = re.fullmatch(HEADING, lines[index])
        index += 1
        if heading is None:
            continue
        while index < len(lines) and not lines[index].strip():
            index += 1
        fence = re.fullmatch(r"(`{3,})diff", lines[index]) if index < len(lines) else None
        end = next((at for at in range(index + 1, len(lines)) if fence and lines[at] == fence[1]), None)
        if end is None:
            raise ConfigError(f"{origin}: the heading {heading[0]!a} is not followed by a block ```diff")
        yield _file(heading["old"] or heading["new"], heading["new"], lines[index + 1 : end], origin)
        index = end + 1


def _file(old: str, new: str, rows: list[str], origin: str) -> File:
    for path in (old, new):
        if not is_plain_path(path):
            raise ConfigError(f"{origin}: {path!a} is no path of a repository")
    wrong = next((row for row in rows if row and row[0] not in " -+"), None)
    if wrong is not None:
        raise ConfigError(f"{origin}: {new}: the line {wrong!a} begins with neither a blank, - nor +")
    before = "".join(f"{row[1:]}\n" for row in rows if not row.startswith("+"))
    after = "".join(f"{row[1:]}\n" for row in rows if not row.startswith("-"))
    return File(new, old, before or None, after or None)


def _diff(before: str, after: str) -> Iterable[str]:
    old, new = before.splitlines(), after.splitlines()
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from (f" {line}" for line in old[a:b])
        else:
            yield from (f"-{line}" for line in old[a:b])
            yield from (f"+{line}" for line in new[c:d])
