"""Whoever writes code, names or messages writes no prompt: what of it reaches a server, byte for byte, and as what."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review import prompts
from kilo_review.cli.app import main
from kilo_review.display import escaped_path, json_path
from kilo_review.inert import inert
from tests.fakes.base import AFFIRMED, asks_again
from tests.fakes.ollama import Model, Ollama
from tests.injections import HIDING, TOKENS, Injection, corpus, plant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Repo

INJECTIONS = corpus()
FAMILIES = {each.family for each in INJECTIONS}
GUTTER = r"(?: {0,3}\d+|    ) [+ -](?= |$)"
QUESTION = r"Somebody claims that (?:line \d+, `[^`\n]*`,|the removal of the line `[^`\n]*`) is wrong \(bug\)\."
MOST = 50


def named(injection: Injection) -> str:
    return f"{injection.family}: {injection.name}"


def rows(user: str) -> Iterator[tuple[str, str, str]]:
    """File, sign and text of each line of the change, as the model is shown them."""
    file = ""
    for line in user.partition("The change:\n\n")[2].split("\n"):
        if line.startswith("FILE "):
            file = line.removeprefix("FILE ")
        elif gutter := re.match(GUTTER, line):
            yield file, gutter.group()[-1], line[gutter.end() + 1 :]


def frame(user: str) -> str:
    """What stands in a message beside the words of the change: gutters, headings, and our own sentences."""
    return "\n".join(head(line) for line in re.sub(QUESTION, "QUESTION", user).split("\n"))


def head(line: str) -> str:
    return next(
        (
            found.group()
            for kind in ("FILE(?= )", "IN(?= )", "RULE(?= )", r"\|(?= |$)", GUTTER)
            if (found := re.match(kind, line))
        ),
        line,
    )


def blames_every_line(body: dict[str, Any]) -> str:
    """A model that quotes each line that was added, as it was shown it; the longest is the worst."""
    shown = [
        row for row in rows(body["messages"][1]["content"]) if row[1] == "+" or (row[0], row[1]) == ("removed.txt", "-")
    ]
    quoted = [row for row in shown if row[2].strip()][:MOST]
    worst = max(quoted, key=lambda row: len(row[2]))
    return json.dumps({"findings": [claim(row, "critical" if row == worst else "minor") for row in quoted]})


def claim(row: tuple[str, str, str], severity: str) -> dict[str, Any]:
    words = {"problem": "p", "severity": severity, "title": "t", "type": "bug"}
    return {"code": row[2], "file": row[0], "line": 1, **words}


class Reviewed:
    """What a server was sent for the last commit, and what came of it."""

    def __init__(self, server: Ollama, report: dict[str, Any]) -> None:
        self.bodies = server.asked("/api/chat")
        self.report = report

    @property
    def frames(self) -> list[str]:
        """Each request but for the words of the change."""
        return [json.dumps(self._framed(body), sort_keys=True, ensure_ascii=False) for body in self.bodies]

    @staticmethod
    def _framed(body: dict[str, Any]) -> dict[str, Any]:
        system, user = body["messages"]
        framed = body | {"messages": [system, user | {"content": frame(user["content"])}]}
        if not asks_again(body) and (
            rule := body["format"]["properties"]["findings"]["items"]["properties"].get("rule")
        ):
            framed = json.loads(json.dumps(framed).replace(json.dumps(rule["enum"]), str(len(rule["enum"]))))
        return framed


Review = "Callable[[Injection], Reviewed]"


@pytest.fixture
def review(
    make_repo: Callable[..., Repo], monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Callable[[Injection, str], tuple[Repo, Reviewed]]:
    """Plant an injection and review the commit, in this process."""

    def planted(injection: Injection, name: str) -> tuple[Repo, Reviewed]:
        repo = make_repo(name)
        plant(repo, injection)
        monkeypatch.chdir(repo.path)
        with Ollama(models=[Model("m:1", loaded_window=16384)], answer=blames_every_line, ruling=AFFIRMED) as server:
            code = main(["HEAD", "--provider", "ollama", "--base-url", server.url, "--format", "json", "--no-cache"])
        report = json.loads(capsysbinary.readouterr().out)
        assert report["exit_code"] == code
        return repo, Reviewed(server, report)

    return planted


def test_the_corpus_is_large_and_various() -> None:
    assert len(INJECTIONS) >= 60
    assert len(FAMILIES) >= 12
    assert len({named(each) for each in INJECTIONS}) == len(INJECTIONS)
    places = {place for each in INJECTIONS for place in each.where}
    assert places == {
        *("comment", "string", "text", "removed", "heading", "signature", "path", "link"),
        "rule",
        "agents",
        "rule_name",
    }


@pytest.mark.parametrize("injection", INJECTIONS, ids=named)
def test_an_injection_stays_behind_the_gutter(
    review: Callable[[Injection, str], tuple[Repo, Reviewed]], injection: Injection
) -> None:
    repo, found = review(injection, "hostile")
    _, harmless = review(injection.twin, "harmless")
    # The rest of the requests is the same, byte for byte: no line more, no line in another place, no other parameter.
    assert found.frames == harmless.frames
    assert [asks_again(body) for body in found.bodies] == [False, True]
    for body in found.bodies:
        assert [message["role"] for message in body["messages"]] == ["system", "user"]
        assert body["messages"][0]["content"] == prompts.load().system
        check_user(body["messages"][1]["content"], repo)
    assert [len(files_in(body["messages"][1]["content"])) for body in found.bodies] == [len(changed(repo)), 1]
    check_findings(found.report, repo)


def check_user(user: str, repo: Repo) -> None:
    assert f"{user}\n".splitlines() == user.split("\n")  # no other character makes a line of its own
    assert not re.search(HIDING, user)
    assert not [token for token in TOKENS if token in user]
    files = changed(repo)
    assert set(files_in(user)) <= {inert(escaped_path(name)) for name in files}
    known = {inert(line.rstrip()).rstrip() for name in files for line in contents(repo, name)}
    assert {text for _, _, text in rows(user)} <= known | {""}


def files_in(user: str) -> list[str]:
    """What stands behind FILE, but for the note."""
    return [re.sub(r" \(new file\)\Z", "", line[5:]) for line in user.split("\n") if line.startswith("FILE ")]


def check_findings(report: dict[str, Any], repo: Repo) -> None:
    """Quoted as it was shown, each line is found where it stands."""
    findings = [each for each in report["findings"] if each["category"] != "unicode"]
    assert findings
    paths = {json_path(name): name for name in changed(repo)}
    for each in findings:
        assert each["status"] == "active", each
        assert each["evidence"] in contents(repo, paths[each["path"]])
    assert [each["blocking"] for each in findings].count(True) == 1


def changed(repo: Repo) -> list[str]:
    """Files of the last commit that have lines to be reviewed."""
    raw = repo.git("diff-tree", "-r", "-z", "--name-only", "HEAD~1", "HEAD").stdout.decode().split("\0")
    return [name for name in raw if name not in {"", "link"}]


def contents(repo: Repo, name: str) -> list[str]:
    """Lines of a file, before and after the last commit."""
    both = (repo.git("show", f"{commit}:{name}", check=False).stdout.decode() for commit in ("HEAD", "HEAD~1"))
    return [line for text in both for line in text.split("\n")]
