"""Changes and outcomes to make pages of, and a reader of pages that minds whether they are well formed."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from kilo_review.core.finding import Category, Finding, Severity, Status
from kilo_review.core.outcome import Egress, Entry, ModelInfo, Outcome, State, Target, TargetKind, Usage
from kilo_review.judge.policy import ExitCode, FailOn, mark_blocking
from kilo_review.report.html import render
from kilo_review.report.view import View
from kilo_review.source.diff import Diff, FileChange, scan_hunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

VOID = frozenset({"meta", "input", "col", "br", "link", "img", "rect"})


@dataclass
class Element:
    """One element of a page."""

    tag: str
    attributes: dict[str, str]
    parent: Element | None = None
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it."""
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())

    def walk(self) -> Iterator[Element]:
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, tag: str = "", *classes: str) -> list[Element]:
        """What is in it, by tag and classes."""
        return [each for each in self.walk() if tag in {"", each.tag} and set(classes) <= each.classes]

    def one(self, tag: str = "", *classes: str) -> Element:
        (found,) = self.all(tag, *classes)
        return found


class Page(HTMLParser):
    """Reads a page; each element must be closed where it was opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = self.here = Element("", {})
        self.feed(text)
        self.close()
        assert self.here is self.root, f"<{self.here.tag}> is never closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice"
        element = Element(tag, {name: value or "" for name, value in attrs}, self.here)
        self.here.children.append(element)
        if tag not in VOID:
            self.here = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.here.children.append(Element(tag, {name: value or "" for name, value in attrs}, self.here))

    def handle_endtag(self, tag: str) -> None:
        assert self.here.tag == tag, f"</{tag}> within <{self.here.tag}>"
        assert self.here.parent
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.children.append(data)


def page_of(view: View) -> Element:
    return Page(render(view)).root


def change(*files: tuple[str, str]) -> Diff:
    """A diff of paths and hunks as git prints them."""
    data, changes = b"", []
    for path, text in files:
        begin = len(data)
        data += text.encode("utf-8", "surrogateescape")
        hunks, end = scan_hunks(data, begin, path)
        assert end == len(data)
        status = "A" if all(hunk.old_length == 0 for hunk in hunks) else "M"
        added, removed = sum(hunk.added for hunk in hunks), sum(hunk.removed for hunk in hunks)
        changes.append(
            FileChange(path, None, status, "100644", "100644", "", "", added, removed, not hunks, tuple(hunks))
        )
    return Diff(data, tuple(changes))


def reviewed(diff: Diff, state: State = State.REVIEWED, reason: str | None = None) -> list[Entry]:
    """A row of the coverage for each hunk, and for each file without one."""
    rows = [
        Entry(hunk.path, hunk.start, hunk.last, hunk.added, hunk.removed, state, reason)
        for file in diff.files
        for hunk in file.hunks
    ]
    whole = [file for file in diff.files if not file.hunks]
    return rows + [Entry(file.path, 0, 0, 0, 0, state, reason, is_hunk=False) for file in whole]


def finding(path: str, line: int, evidence: str, **others: object) -> Finding:
    given: dict[str, object] = {
        "end_line": line,
        "severity": Severity.MAJOR,
        "category": Category.BUG,
        "title": "Division by zero",
        "message": "An empty list divides by zero.",
    }
    return Finding(path=path, line=line, evidence=evidence, **(given | others))  # type: ignore[arg-type]


def view(
    diff: Diff | None,
    *findings: Finding,
    entries: Sequence[Entry] | None = None,
    mask: Callable[[str], str] = str,
    **others: object,
) -> View:
    """What a page is made from."""
    rows = reviewed(diff) if entries is None and diff else list(entries or ())
    outcome = Outcome(
        Target(TargetKind.BRANCH, "1" * 40, "2" * 40),
        ModelInfo("ollama", "qwen3-coder:30b", "http://127.0.0.1:11434", 32768),
        mark_blocking(list(findings), FailOn.CRITICAL),
        rows,
        Usage(3, 5120, 2048, 611, 12.4),
        [Egress("http://127.0.0.1:11434", "127.0.0.1", 21934, 3)],
    )
    for name, value in others.items():
        setattr(outcome, name, value)
    return View(outcome, ExitCode.PASS, mask=mask, diff=lambda: diff)


def large(files: int, lines: int, findings: int) -> View:
    """Files of so many changed lines, with so many findings in each of them, of every severity and status."""
    old = "".join(f"-    return old({number})\n" for number in range(lines))
    new = "".join(f"+    return new({number})\n" for number in range(lines))
    diff = change(*((f"src/module_{number}.py", f"@@ -1,{lines} +1,{lines} @@\n{old}{new}") for number in range(files)))
    severities, statuses = list(Severity), list(Status)
    found = [
        finding(
            file.path,
            number % lines + 1,
            f"    return new({number % lines})",
            severity=severities[number % 3],
            status=statuses[number % 7],
            title=f"Fault {number} of this file",
            reason="for a reason",
        )
        for file in diff.files
        for number in range(findings)
    ]
    return view(diff, *found)
