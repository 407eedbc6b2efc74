"""What a table of failures is made of, and how a row is put to the test.

A row says how a server misbehaves, on which wires, and what comes of it. The tests and docs/reliability.md are made of
the same rows.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.outcome import State
from kilo_review.judge.policy import ExitCode
from kilo_review.models import retry
from kilo_review.report import renderer
from kilo_review.report.view import View
from tests.support.fakes.wires import LMSTUDIO, OLLAMA, OPENAI, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.conftest import Repo
    from tests.support.fakes.base import Fake, Step
    from tests.support.here import Program, Told

    Plan = list[Step]

BOTH = (OLLAMA, OPENAI)
ALL = (OLLAMA, OPENAI, LMSTUDIO)
TOKEN = "sk-Zebra42:hushhush"
"""In the environment of every run, and never seen again."""
MOST_SENT = 32 * 1024 * 1024
"""Bytes that a server can get rid of before the program leaves: what is read of one answer, and what is in buffers."""
DIVISION = {
    "code": "return sum(items) / len(items)",
    "file": "app.py",
    "line": 2,
    "problem": "An empty list divides by zero.",
    "severity": "critical",
    "title": "Division by zero",
    "type": "bug",
}
FOUND = json.dumps({"findings": [DIVISION]})
CODES = {
    "clean": ExitCode.PASS,
    "findings": ExitCode.PASS,
    "incomplete": ExitCode.NOT_REVIEWED,
    "not_reviewed": ExitCode.NOT_REVIEWED,
}


def mended(repo: Repo) -> None:
    """A small change, with a mistake in it."""
    repo.stage("app.py", "def mean(items):\n    return sum(items) / len(items)\n")


def many_files(repo: Repo) -> None:
    """A change that is too long for one request of a small window."""
    for number in range(4):
        repo.stage(f"part{number}.py", "".join(f"value_{number}_{line} = {line}\n" for line in range(120)))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to fail.

    Attributes:
        ids: of the catalogue of failures (E1 to E31), of known issues (project#number), or words of our own.
        key: what tells its tests from others.
        what: what happens, in the words of users.
        outcome: `clean`, `findings`, `incomplete` or `not_reviewed`.
        says: the cause, as it is printed; `{server}`, `{url}`, `{origin}` and `{model}` are those of the wire, and `…`
            is anything.
        then: the next step, as it is printed.
        unlike: cause and next step of wires that have their own, by provider.
        chat: what questions are answered with instead, one after the other, the last for ever; None is as usual.
        instead: the same for other paths, by path.
        knobs: what else is turned at the server.
        makes: another server than the wire's own, by provider.
        is_gone: nobody listens.
        wires: on which it is tried.
        change: what is staged.
        arguments: further ones of the command line, with the server's `{port}`.
        environment: further variables.
        patches: clocks and limits that are turned, by their full names.
        finds: what the model has found is reported; None: if that is the outcome.
        requests: questions that the server sees.
        waits: seconds before further tries, give or take the jitter.
        leaves: the program closes the connection before the answer's end.
    """

    ids: tuple[str, ...]
    key: str
    what: str
    outcome: str = "not_reviewed"
    says: str = ""
    then: str = ""
    unlike: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    chat: Callable[[Wire], Plan] | None = None
    instead: Callable[[Wire], dict[str, Plan]] | None = None
    knobs: Callable[[Any], object] | None = None
    makes: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    is_gone: bool = False
    wires: tuple[Wire, ...] = BOTH
    change: Callable[[Repo], object] = mended
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    patches: Mapping[str, object] = field(default_factory=dict)
    finds: bool | None = None
    requests: int = 1
    waits: tuple[float, ...] = ()
    leaves: bool = False

    @property
    def is_found(self) -> bool:
        """The mistake in the change is reported."""
        return self.outcome == "findings" if self.finds is None else self.finds

    @property
    def code(self) -> ExitCode:
        """How the program ends."""
        return ExitCode.BLOCKED if self.is_found else CODES[self.outcome]

    def server(self, wire: Wire) -> Fake:
        """The server, ready to misbehave."""
        fake: Fake = self.makes.get(wire.provider, wire.make)()
        fake.instead |= self.instead(wire) if self.instead else {}
        fake.instead |= {wire.chat: self.chat(wire)} if self.chat else {}
        if self.knobs:
            self.knobs(fake)
        return fake

    def told(self, wire: Wire, **blanks: str) -> list[str]:
        """Cause and next step on a wire, as they are printed."""
        blanks = {"server": wire.server, "model": wire.model} | blanks
        return [text.format(**blanks) for text in self.unlike.get(wire.provider, (self.says, self.then)) if text]


def cases(rows: Iterable[Row]) -> list[Any]:
    """What `parametrize` wants: each row on each of its wires."""
    return [pytest.param(row, wire, id=f"{row.key}-{wire.provider}") for row in rows for wire in row.wires]


def run(row: Row, wire: Wire, program: Program, patch: pytest.MonkeyPatch, *command: str) -> tuple[Told, Fake]:
    """Review the staged change while the server misbehaves."""
    patch.setenv("KILO_REVIEW_API_KEY", TOKEN)
    for name, value in row.environment.items():
        patch.setenv(name, value)
    for name, clock in row.patches.items():
        patch.setattr(name, clock)
    with row.server(wire) as server:
        port = server.url.rpartition(":")[2]
        further = [argument.replace("{port}", port) for argument in row.arguments]
        arguments = (*command, "--provider", wire.provider, "--base-url", server.url, *further)
        if not row.is_gone:
            told = program(*arguments)
            assert not row.leaves or server.saw_the_client_leave()
    if row.is_gone:
        told = program(*arguments)
    return told, server


def check(row: Row, wire: Wire, told: Told, server: Fake) -> None:
    """The outcome and the message are those of the row."""
    text, outcome = told.text, told.outcome
    assert (told.code, outcome.word) == (row.code, row.outcome), text + told.talk
    check_coverage(row, told)
    for words in row.told(wire, url=server.url + wire.suffix, origin=server.url):
        assert re.search(pattern(words), text), f"{words}\n\nis not in\n\n{text}"
    assert ("no findings" in text) >= (row.outcome == "clean")
    assert ("app.py:2: critical: Division by zero" in text) == row.is_found
    asked = [call for call in server.calls if call.path == wire.chat]
    assert len(asked) == row.requests, text
    assert len(told.waits) == len(row.waits)
    for waited, meant in zip(told.waits, row.waits, strict=True):
        assert abs(waited - meant) <= retry.JITTER * meant
    assert all(sent < MOST_SENT for sent in server.left)
    assert TOKEN not in text + told.talk


def check_coverage(row: Row, told: Told) -> None:
    """A hunk that was not wholly answered is not reviewed, with a reason; in every format."""
    states = {entry.state for entry in told.outcome.entries}
    if row.outcome in {"clean", "findings"}:
        assert states == {State.REVIEWED}
    else:
        assert State.NOT_REVIEWED in states
        assert row.outcome == "incomplete" or states == {State.NOT_REVIEWED}
    report = json.loads(renderer("json")(View(told.outcome, ExitCode(told.code))))
    assert (report["outcome"], report["exit_code"]) == (row.outcome, told.code)
    assert all(entry["reason"] for entry in report["coverage"]["entries"] if entry["state"] == "not_reviewed")


def pattern(text: str) -> str:
    """A regular expression for a text in which `…` is anything on one line."""
    return ".*?".join(map(re.escape, text.split("…")))
