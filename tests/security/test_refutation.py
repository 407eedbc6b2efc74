"""A change talks the program out of a finding: by filling the place of what it removed, or by white space."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.judge.anchor import anchor
from kilo_review.judge.parse import parse
from kilo_review.judge.verify import claim_of, holding
from kilo_review.plan.chunk import Piece
from kilo_review.plan.context import Context
from kilo_review.source.patch import parse_patch
from tests.support.fakes.base import AFFIRMED
from tests.support.proposals import Proposal, claim

if TYPE_CHECKING:
    from kilo_review.core.finding import Finding

HEAD = "diff --git a/{0} b/{0}\n--- a/{0}\n+++ b/{0}\n@@ -1,{1} +1,{2} @@\n"


def found(body: str, *claims: dict[str, Any], path: str = "app.py") -> list[Finding]:
    """What the program makes of these claims about a hunk, before a model is asked again."""
    lines = body.splitlines()
    old, new = (sum(line[0] in kinds for line in lines) for kinds in ("- ", "+ "))
    pieces = pieces_of(HEAD.format(path, old, new) + body)
    return [each.finding for each in anchor(parse(json.dumps({"findings": list(claims)})), pieces)]


def pieces_of(patch: str) -> list[Piece]:
    """A request with the hunks of a patch."""
    diff = parse_patch(patch.encode())
    return [
        Piece(change, hunk, tuple(diff.lines(hunk)), Context(), "", len(diff.lines(hunk)))
        for change in diff.files
        for hunk in change.hunks
    ]


REMOVED = "-    check_admin(user)\n"
REPLACEMENTS = {
    "a comment": "+    # check_admin(user) is done elsewhere\n",
    "a block comment": "+    /* checked */\n",
    "a blank line": "+\n",
    "a doc string": '+    """Checked elsewhere."""\n',
    "a statement that does nothing": "+    pass\n",
    "code": "+    log('checked')\n",
    "more code": "+    log('checked')\n+    log('really')\n+    # and more\n",
    "a look-alike": "+    check_adm\u0456n(user)\n",
    "the same in a string": "+    note = 'check_admin(user)'\n",
}


@pytest.mark.parametrize("added", REPLACEMENTS.values(), ids=REPLACEMENTS)
@pytest.mark.parametrize("code", ["check_admin(user)", "delete(user)"], ids=["the removed line", "what follows it"])
def test_the_program_refutes_no_removed_check_whatever_takes_its_place(added: str, code: str) -> None:
    body = f" def f(user):\n{REMOVED}{added}     delete(user)\n"
    (finding,) = found(body, claim("app.py", code))
    assert (finding.status, finding.reason) == ("active", None)


@pytest.mark.parametrize(
    ("removed", "added"),
    [
        ("    lock.acquire()", "    # the lock is not needed"),
        ("    stream.close()", "    counter += 1"),
        ("    if not valid(x): raise ValueError", "    # valid"),
        ("    except OSError: rollback()", "    except OSError: pass"),
    ],
    ids=["locking", "cleanup", "validation", "error handling"],
)
def test_what_guards_is_not_refuted_either(removed: str, added: str) -> None:
    (finding,) = found(f" def f(x):\n-{removed}\n+{added}\n     use(x)\n", claim("app.py", removed.strip()))
    assert finding.status == "active"


def test_a_removal_that_something_replaced_is_asked_about(proposal: Proposal) -> None:
    before, after = (
        "def f(user):\n    check_admin(user)\n    delete(user)\n",
        "def f(user):\n    # ok\n    delete(user)\n",
    )
    proposal.base({"app.py": before})
    proposal.claims = [claim("app.py", "check_admin(user)")]
    report = proposal.review({"app.py": after}, seen=2).json()
    assert [(each["status"], each["blocking"]) for each in report["findings"]] == [("active", True)]


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ('os.system("rm -rf " + d + "/ tmp")', 'os.system("rm -rf " + d + "/tmp")'),
        ("x = a - -b", "x = a --b"),
        ('query = "SELECT" + name', 'query = "SELECT " + name'),
        ("return  total", "\treturn  total"),
        ("    return total", "        return total"),
        ("path = r'a b'", "path = r'ab'"),
    ],
    ids=["string", "operator", "end of a string", "tab", "indentation", "raw string"],
)
def test_a_remedy_that_differs_in_white_space_refutes_nothing(line: str, fix: str) -> None:
    (finding,) = found(f" def f(d):\n+{line}\n", claim("app.py", line, fix=fix))
    assert finding.status == "active"
    words = claim("app.py", line, problem=f"It should be `{fix}`.")
    (finding,) = found(f" def f(d):\n+{line}\n", words)
    assert (finding.status, finding.doubt) == ("active", "")


@pytest.mark.parametrize(("code", "fix"), [("    x = 1", "    x = 1"), ("x = 1", "x = 1"), ("x = 1\n", "x = 1")])
def test_a_remedy_that_is_the_code_itself_still_refutes(code: str, fix: str) -> None:
    (finding,) = found(" def f(d):\n+    x = 1\n", claim("app.py", code, fix=fix))
    assert (finding.status, finding.reason) == ("refuted", "what it proposes is what stands there")


@pytest.mark.long
def test_words_of_the_instructions_refute_only_where_there_are_no_others(proposal: Proposal) -> None:
    proposal.base({"app.py": "def f(user):\n    check_admin(user)\n    delete(user)\n"})
    repeated = "A removed check can be a defect too."
    proposal.claims = [
        claim("app.py", "check_admin(user)", title="check_admin was removed", problem=repeated),
        claim("app.py", "delete(user)", title="The defect in at most ten words", problem=repeated),
    ]
    report = proposal.review({"app.py": "def f(user):\n    delete(user)\n"}).json()
    assert {each["title"]: each["status"] for each in report["findings"]} == {
        "check_admin was removed": "active",
        "The defect in at most ten words": "refuted",
    }


# What a model says of one file or line, and the program must not lose


@pytest.mark.long
def test_a_quote_is_found_in_another_file_of_the_request(proposal: Proposal) -> None:
    proposal.base({"a.py": "x = 1\n", "b.py": "y = 1\n"})
    proposal.claims = [claim("a.py", "y = eval(data)"), claim("nowhere.py", "x = input()")]
    report = proposal.review({"a.py": "x = input()\n", "b.py": "y = eval(data)\n"}).json()
    places = sorted((each["path"], each["line"], each["status"]) for each in report["findings"])
    assert places == [("a.py", 1, "active"), ("b.py", 1, "active")]


@pytest.mark.long
def test_a_quote_that_stands_in_several_other_files_belongs_to_none(proposal: Proposal) -> None:
    proposal.base({"a.py": "x = 1\n", "b.py": "y = 1\n", "c.py": "z = 1\n"})
    proposal.claims = [claim("a.py", "y = eval(data)")]
    changed: dict[str, str | bytes] = {"a.py": "x = 2\n", "b.py": "y = eval(data)\n", "c.py": "y = eval(data)\n"}
    (finding,) = proposal.review(changed).json()["findings"]
    assert finding["status"] == "unanchored"


def test_the_named_file_comes_first() -> None:
    (finding,) = found(" a = 1\n+y = eval(data)\n", claim("app.py", "y = eval(data)"))
    assert (finding.path, finding.status) == ("app.py", "active")


@pytest.mark.parametrize(
    ("other", "number"),
    [
        ({"title": "Wrong tenant", "problem": "The tenant is not checked."}, 2),
        ({"problem": "The tenant is not checked."}, 2),
        ({"title": "no  check", "problem": "anyone may do it!"}, 1),
    ],
    ids=["another defect", "the same title", "the same words"],
)
def test_two_defects_of_one_line_are_both_kept(proposal: Proposal, other: dict[str, Any], number: int) -> None:
    proposal.base({"app.py": "x = 1\n"})
    proposal.claims = [claim("app.py", "x = load(user)"), claim("app.py", "x = load(user)", **other)]
    report = proposal.review({"app.py": "x = load(user)\n"}).json()
    assert [each["status"] for each in report["findings"]] == ["active"] * number


@pytest.mark.parametrize("line", [1, 2, 9])
def test_moved_code_is_found_where_it_stands_now(line: int) -> None:
    body = " def f():\n-    lock.release()\n     a()\n     b()\n     c()\n     d()\n     e()\n+    lock.release()\n"
    (finding,) = found(body, claim("app.py", "lock.release()", line=line))
    assert (finding.line, finding.is_removed) == (7, False)


CHECK_GONE = "@@ -1,3 +1,2 @@\n def delete(user):\n-    check_admin(user)\n     remove(user)\n"
DECOYS = {
    "code": "+    check_admin(user)\n",
    "without its indentation": "+check_admin(user)\n",
    "with other blanks": "+\tcheck_admin( user )\n",
}


def of_hunks(*hunks: str) -> list[Piece]:
    """A request with some hunks of one file."""
    return pieces_of(f"--- a/app.py\n+++ b/app.py\n{''.join(hunks)}")


@pytest.mark.parametrize("decoy", DECOYS.values(), ids=DECOYS)
@pytest.mark.parametrize("quote", ["check_admin(user)", "    check_admin(user)"], ids=["stripped", "whole"])
@pytest.mark.parametrize(
    ("line", "expected"),
    [(2, [(2, True)]), (1, [(2, True)]), (52, [(52, False)]), (30, [(2, True), (52, False)]), (None, None)],
)
def test_a_removed_line_that_is_added_elsewhere_is_told_where_the_model_means_it(
    decoy: str, quote: str, line: int | None, expected: list[tuple[int, bool]] | None
) -> None:
    """The question that the finding is put to is about the line that it stands on."""
    pieces = of_hunks(CHECK_GONE, f"@@ -50,2 +49,5 @@\n x = 1\n y = 1\n+\n{decoy}+z = 1\n")
    claims = parse(json.dumps({"findings": [claim("app.py", quote, line=line)]}))
    places = sorted((each.finding.line, each.finding.is_removed) for each in anchor(claims, pieces))
    assert places == (expected or [(2, True), (52, False)])


def test_an_added_line_that_is_spelled_more_like_the_quote_does_not_take_its_place() -> None:
    removed = "@@ -1,3 +1,2 @@\n def delete(user):\n-    check_admin(user)  # never remove\n     remove(user)\n"
    pieces = of_hunks(removed, "@@ -50,2 +49,3 @@\n x = 1\n y = 1\n+check_admin(user)\n")
    claims = parse(json.dumps({"findings": [claim("app.py", "check_admin(user)", line=2)]}))
    places = sorted((each.finding.line, each.finding.is_removed) for each in anchor(claims, pieces))
    assert places == [(2, True), (51, False)]


@pytest.mark.parametrize("decoy", ["def show(user):\n    check_admin(user)\n", '"""\ncheck_admin(user)\n"""\n'])
def test_a_model_that_sees_no_wrong_in_the_decoy_does_not_take_the_removal_away(proposal: Proposal, decoy: str) -> None:
    rest = "".join(f"def helper{number}():\n    return {number}\n\n\n" for number in range(12))
    old = "def delete(user):\n    check_admin(user)\n    remove(user)\n\n\n" + rest
    proposal.base({"app.py": old})
    proposal.claims = [claim("app.py", "check_admin(user)", line=2, title="Admin check removed")]
    done = proposal.review({"app.py": old.replace("    check_admin(user)\n", "") + decoy})
    (finding,) = done.json()["findings"]
    assert (done.code, finding["line"], finding["blocking"]) == (1, 2, True)


@pytest.mark.parametrize("decoy", ["check_admin( user )", "check_admin (user)", "check_admin(user)  # was here"])
def test_the_question_about_a_decoy_names_the_removal(proposal: Proposal, decoy: str) -> None:
    old = "def delete(user):\n    check_admin(user)\n    remove(user)\n"
    proposal.base({"app.py": old})
    proposal.claims = [claim("app.py", "check_admin(user)", line=2, title="Admin check removed")]
    proposal.ruling = lambda body: (
        AFFIRMED
        if "removal of the line `check_admin(user)`" in body["messages"][-1]["content"]
        else '{"confirmed": false, "evidence": "that line is harmless"}'
    )
    done = proposal.review({"app.py": old.replace("check_admin(user)", f'"""\n    {decoy}\n    """')})
    assert done.code == 1
    assert any(finding["blocking"] for finding in done.json()["findings"])


def files(rows: dict[str, list[str]]) -> list[Piece]:
    """A request with one hunk of each file, which begins in line 1."""
    patch = ""
    for path, lines in rows.items():
        old, new = (sum(row[0] in kinds for row in lines) for kinds in (" -", " +"))
        patch += (
            f"--- a/{path}\n+++ b/{path}\n@@ -{min(old, 1)},{old} +{min(new, 1)},{new} @@\n" + "\n".join(lines) + "\n"
        )
    return pieces_of(patch)


REST_OF_FILE = [f" rest({number});" for number in range(9)]
DRAWN_AWAY: dict[str, tuple[dict[str, list[str]], dict[str, Any], list[tuple[str, int]]]] = {
    "an unchanged line that is spelled like the quote": (
        {"a.js": [" exec(cmd);", *REST_OF_FILE, "+    exec(cmd);"]},
        {"line": 11},
        [("a.js", 11)],
    ),
    "an added line in a comment": (
        {"a.js": ["+    exec(cmd);", *REST_OF_FILE, "+/*", "+exec(cmd);", "+*/"]},
        {"line": 1},
        [("a.js", 1)],
    ),
    "a neighbour that is spelled like the quote": (
        {"a.js": ["+exec(cmd);", "+  exec(cmd);", *REST_OF_FILE]},
        {"line": 2},
        [("a.js", 2)],
    ),
    "a line without the comment that the model leaves out": (
        {"a.js": [" exec(cmd);", *REST_OF_FILE, "+    exec(cmd); // user"]},
        {"line": 11},
        [("a.js", 1), ("a.js", 11)],
    ),
    "the same in another file": (
        {"a.js": [" x();", "+    exec(cmd); // user", " y();"], "b.js": [*REST_OF_FILE, " exec(cmd);", "+z();"]},
        {"line": 2},
        [("a.js", 2), ("b.js", 10)],
    ),
    "a line that begins like a copied sign": (
        {"a.js": ["-- run: exec(cmd);", *REST_OF_FILE, "+  - run: exec(cmd);"]},
        {"line": 10, "code": "- run: exec(cmd);"},
        [("a.js", 10)],
    ),
    "a removed line that begins like a copied sign": (
        {"a.js": ["-  + exec(cmd);", *REST_OF_FILE, "+  + exec(cmd);"]},
        {"line": 1, "code": "+ exec(cmd);"},
        [("a.js", 10)],  # both are in one hunk: the question names both
    ),
    "a short quote of a line with a comment": (
        {"a.js": [*REST_OF_FILE, "+y=1/n  // never zero"]},
        {"line": 10, "code": "y=1/n"},
        [("a.js", 10)],
    ),
    "a line with a comment near one that is spelled like the quote": (
        {"a.js": ["+/*", "+exec(cmd);", "+*/", "+exec(cmd); // parsed above", *REST_OF_FILE]},
        {"line": 4},
        [("a.js", 2), ("a.js", 4)],
    ),
    "a short quote of a line with a comment, and the same alone elsewhere": (
        {"a.js": ["+/*", "+y=1/n", "+*/", *REST_OF_FILE, "+y=1/n  // never zero"]},
        {"line": 13, "code": "y=1/n"},
        [("a.js", 2), ("a.js", 13)],
    ),
    "two lines with a removed one between them": (
        {"a.js": [" if (ok)", "-  f('ls');", "+  f(req.q);", *REST_OF_FILE, "+/*", "+if (ok)", "+  f(req.q);", "+*/"]},
        {"line": 2, "code": "if (ok)\n  f(req.q);"},
        [("a.js", 1)],
    ),
    "a removed line with a comment, and the same without it in a comment": (
        {"a.js": ["-check(user); // never remove", "+/*", "+check(user);", "+*/", *REST_OF_FILE]},
        {"line": 1, "code": "check(user);"},
        [("a.js", 1), ("a.js", 2)],
    ),
    "an unchanged line at the number, and a changed one elsewhere": (
        {"a.js": [" exec(cmd);", *REST_OF_FILE, "+exec(cmd);"]},
        {"line": 1},
        [("a.js", 1), ("a.js", 11)],
    ),
}


@pytest.mark.parametrize(("rows", "says", "expected"), DRAWN_AWAY.values(), ids=DRAWN_AWAY)
def test_a_finding_is_not_drawn_away_from_the_line_that_the_model_names(
    rows: dict[str, list[str]], says: dict[str, Any], expected: list[tuple[str, int]]
) -> None:
    claims = parse(json.dumps({"findings": [claim("a.js", **{"code": "exec(cmd);", **says})]}))
    assert sorted((each.finding.path, each.finding.line) for each in anchor(claims, files(rows))) == expected


@pytest.mark.parametrize("name", ["FILE a.js", "a.js (new file)", " a.js", "`a.js", '"a.js"', "FILE  a.js"])
def test_a_file_that_is_called_like_another_with_a_note_is_itself(name: str) -> None:
    pieces = files({"a.js": [*REST_OF_FILE, " eval(q);", "+z();"], "b.js": ["+ q = 1;", "+ eval(q);"]})
    pieces = [
        each._replace(change=each.change._replace(path=name)) if each.change.path == "b.js" else each for each in pieces
    ]
    claims = parse(json.dumps({"findings": [claim(name, "eval(q);", line=2)]}))
    ((finding, _),) = anchor(claims, pieces)
    assert (finding.path, finding.line) == (name, 2)


def test_the_question_about_a_removal_is_put_with_the_piece_that_shows_it() -> None:
    """An earlier piece of the same hunk may hold the same words, which the change itself can add."""
    decoy, gone = (pieces[0] for pieces in (files({"a.js": ["+check(user);"]}), files({"a.js": ["-check(user);"]})))
    (found,) = anchor(parse(json.dumps({"findings": [claim("a.js", "check(user);", line=1)]})), [gone])
    assert found.finding.is_removed
    assert holding(found.finding, [decoy, gone]) is gone
    (added,) = anchor(parse(json.dumps({"findings": [claim("a.js", "check(user);", line=1)]})), [decoy])
    assert holding(added.finding, [gone, decoy]) is decoy


@pytest.mark.parametrize(
    ("rows", "code", "named"),
    [
        (["-// check(user);", "-check(user);", "+/*", "+check( user );", "+*/"], "check( user );", "check(user);"),
        (["-  check('a');", "+/*", "+check(\\'a\\' );", "+*/"], "check(\\'a\\' );", "check('a');"),
        (
            ["-check(user); // never remove", "+/*", "+check(user);", "+*/"],
            "check(user);",
            "check(user); // never remove",
        ),
    ],
    ids=["a comment with it is removed, too", "escaped marks", "a comment behind it"],
)
def test_the_question_names_the_removed_line_that_may_be_meant(rows: list[str], code: str, named: str) -> None:
    pieces = files({"a.js": [*rows, *REST_OF_FILE]})
    found = anchor(parse(json.dumps({"findings": [claim("a.js", code, line=2)]})), pieces)
    (added,) = [each.finding for each in found if not each.finding.is_removed]
    assert f"or the removal of the line `{named}` is wrong" in claim_of(added, pieces[0])
