"""`explain`: asked for only now; a fix is one only if git accepts it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review import prompts
from kilo_review.core.errors import BadReplyError
from kilo_review.judge.remedy import LONGEST, Explanation, parse_explanation, patch

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repo, Runner

CODE = "    return sum(items) / len(items)"
CAUSE = {"cause": "It divides by the number of items.", "example": "mean([]) raises ZeroDivisionError"}


def found(kilo: Runner, division: dict[str, Any]) -> str:
    report = kilo(*kilo.scripted({"findings": [division]}), "--format", "json").json()
    return str(report["findings"][0]["fingerprint"][:8])


def explained(kilo: Runner, short: str, *arguments: str, **answer: str) -> Any:
    return kilo("explain", short, *kilo.scripted({"text": json.dumps(CAUSE | answer)}), *arguments)


def test_the_why_an_example_and_a_patch_that_applies(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    short = found(kilo, division)
    fix = "if not items:\n    return 0\nreturn sum(items) / len(items)"
    done = explained(kilo, short, remove="return sum(items) / len(items)", write=fix)
    assert done.code == 0, done.talk
    assert "why: It divides by the number of items." in done.text
    assert "for example: mean([]) raises ZeroDivisionError" in done.text
    proposal = done.text[done.text.index("--- a/app.py") :]
    subprocess.run(["git", "apply"], cwd=buggy.path, input=proposal.encode(), check=True)
    assert (buggy.path / "app.py").read_text().endswith(f"    if not items:\n        return 0\n{CODE}\n")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"remove": "", "write": ""}, "gives none that can be placed"),
        ({"remove": "return something / else", "write": "x"}, "gives none that can be placed"),
        ({"remove": CODE, "write": CODE}, "gives none that can be placed"),
        ({"remove": CODE, "write": "    return 0  \u202e"}, "gives none that can be placed"),
        ({"remove": CODE, "write": "\x1b[2J"}, "gives none that can be placed"),
    ],
)
def test_no_fix_is_said(kilo: Runner, buggy: Repo, division: dict[str, Any], answer: dict[str, str], why: str) -> None:
    done = explained(kilo, found(kilo, division), **answer)
    assert done.code == 0
    assert "no fix: the model " in done.text
    assert why in done.text
    assert "--- a/" not in done.text


def test_half_of_a_fix_is_none(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    done = explained(kilo, found(kilo, division), remove=CODE, write="\n".join(f"step_{n}()" for n in range(400)))
    assert "no fix: the model gives none that can be placed" in done.text


def test_what_stands_beside_the_fix_reaches_no_terminal_as_it_is(
    kilo: Runner, buggy: Repo, division: dict[str, Any]
) -> None:
    buggy.stage("app.py", "# \x1b[2J\n" + (buggy.path / "app.py").read_text())
    short = found(kilo, division)
    done = explained(kilo, short, remove=CODE, write="    return 0")
    assert "\x1b" not in done.text
    assert "--format json has it" in done.text
    told = json.loads(explained(kilo, short, "--format", "json", remove=CODE, write="    return 0").stdout)
    subprocess.run(["git", "apply", "--check"], cwd=buggy.path, input=told["patch"].encode(), check=True)


def test_windows_line_ends_are_no_reason_to_hide_a_fix(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    buggy.stage("app.py", (buggy.path / "app.py").read_text().replace("\n", "\r\n"))
    done = kilo(
        *("explain", found(kilo, division)),
        *kilo.scripted({"text": json.dumps(CAUSE | {"remove": CODE, "write": "    return 0"})}),
    )
    subprocess.run(["git", "apply"], cwd=buggy.path, input=done.stdout[done.stdout.index(b"--- a/") :], check=True)
    assert b"    return 0\r\n" in (buggy.path / "app.py").read_bytes()


def test_a_folder_that_leads_out_of_the_repository_is_not_followed(
    kilo: Runner, repo: Repo, division: dict[str, Any], tmp_path: Path
) -> None:
    repo.stage("d/app.py", f"def mean(items):\n{CODE}\n")
    short = found(kilo, division | {"file": "d/app.py"})
    (repo.path / "d").rename(tmp_path / "outside")
    (repo.path / "d").symlink_to(tmp_path / "outside")
    done = kilo("explain", short, *kilo.scripted())
    assert (done.code, "leads elsewhere" in done.talk) == (2, True)


def test_for_programs(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    done = explained(kilo, found(kilo, division), "--format", "json", remove=CODE, write="    return 0")
    told = json.loads(done.stdout)
    assert told["cause"] == CAUSE["cause"]
    assert told["patch"].startswith("--- a/app.py\n+++ b/app.py\n")
    assert told["reason"] is None


def test_what_is_asked_names_the_line_as_it_is_now(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    short = found(kilo, division)
    buggy.write("app.py", "# above\n" * 5 + (buggy.path / "app.py").read_text())
    done = kilo(
        "explain", short, *kilo.scripted({"when": "The claim about line 7: Division", "text": json.dumps(CAUSE)})
    )
    assert (done.code, "why: It divides" in done.text) == (0, True)


def test_code_that_is_gone_is_said(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    short = found(kilo, division)
    buggy.write("app.py", "x = 1\n")
    done = kilo("explain", short, *kilo.scripted())
    assert (done.code, "is not in 'app.py' any more" in done.talk) == (2, True)
    (buggy.path / "app.py").unlink()
    assert kilo("explain", short, *kilo.scripted()).code == 2


def test_a_model_that_says_nothing_sensible_or_is_down(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    short = found(kilo, division)
    for reply in ({"text": "Dunno."}, {"error": "no"}):
        done = kilo("explain", short, *kilo.scripted(reply))
        assert done.code == 3
        assert done.text == ""


BLANK = pytest.param(json.dumps({"cause": " " * LONGEST + "x"}), id="blank where it counts")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cause": ""}', '{"cause": "x", "write": 1}', BLANK])
def test_answers_that_cannot_be_read(text: str) -> None:
    with pytest.raises(BadReplyError):
        parse_explanation(text)


@pytest.mark.parametrize("path", ["a b.py", 'q"uote.py', "tab\t.py", "uml\xe4ut.py", "back\\slash.py", "byte\udcff.py"])
def test_paths_are_quoted_as_git_does(repo: Repo, path: str) -> None:
    repo.write(path.encode("utf-8", "surrogateescape"), "one\ntwo\n")
    fix = patch(path, b"one\ntwo\n", Explanation("c", "", "two", "three"), 2)
    assert subprocess.run(["git", "apply", "--check", "-"], cwd=repo.path, input=fix, check=False).returncode == 0


@pytest.mark.parametrize(
    ("content", "write", "after"),
    [
        (b"one\r\ntwo\r\n", "three", b"one\r\nthree\r\n"),
        (b"one\ntwo", "three", b"one\nthree\n"),
        (b"\ttwo\n", "two()\nthree()", b"\ttwo()\n\tthree()\n"),
        (b"two\x0cx\ntwo\n", "three", b"two\x0cx\nthree\n"),
        (b"two\nsame\n", "", b"same\n"),
    ],
)
def test_endings_and_indentation_are_those_of_the_file(repo: Repo, content: bytes, write: str, after: bytes) -> None:
    repo.write("f.txt", content)
    fix = patch("f.txt", content, Explanation("c", "", "two", write), 1)
    subprocess.run(["git", "apply", "-"], cwd=repo.path, input=fix, check=True)
    assert (repo.path / "f.txt").read_bytes() == after


def test_what_stands_in_the_code_is_no_place_in_the_prompt() -> None:
    (message,) = prompts.load().explain("   1   x = '{{claim}} {{line}}'", 1, "CLAIM")
    assert "x = '{{claim}} {{line}}'" in message.content
    assert message.content.count("CLAIM") == 1
