"""Identity by one line of text: a decision about one place hides the same line in another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fakes.base import AFFIRMED
from tests.support.fakes.ollama import Model, Ollama
from tests.support.hooked import Hooked, by_server, environment_of
from tests.support.proposals import Proposal, claim

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repo, Result, Runner

LINE = "rows = db.execute(query).fetchall()"
TEST = f"def test_rows():\n    query = 'SELECT 1'\n    {LINE}\n    assert rows\n"
BESIDE = f"def test_rows():\n    query = 'SELECT 1'\n    {LINE}\n\ndef other():\n    x = 1\n"
"""The line stands near the end of a function, so that a change beside the function shows it."""
WEB = f"def rows(request):\n    query = 'SELECT ' + request.args['name']\n    {LINE}\n    return rows\n"


def statuses(done: Result) -> list[str]:
    return [each["status"] for each in done.json()["findings"]]


def review(kilo: Runner, *claims: dict[str, Any]) -> Result:
    return kilo(*kilo.scripted({"findings": list(claims)}), "--format", "json")


def dismiss(kilo: Runner, repo: Repo, name: str, content: str, *shared: str) -> None:
    """Dismiss the finding about `LINE` in this file, and commit the file."""
    repo.stage(name, content)
    (found,) = review(kilo, claim(name, LINE)).json()["findings"]
    assert kilo("dismiss", found["fingerprint"][:8], "--reason", "a constant", *shared).code == 0
    assert statuses(review(kilo, claim(name, LINE))) == ["dismissed"]
    repo.git("add", "-A")
    repo.commit("dismissed")


@pytest.mark.parametrize("shared", [(), ("--shared",)], ids=["own", "shared"])
def test_a_dismissal_hides_no_such_line_in_another_file(kilo: Runner, repo: Repo, shared: tuple[str, ...]) -> None:
    dismiss(kilo, repo, "test_db.py", TEST, *shared)
    repo.stage("web.py", WEB)
    assert statuses(review(kilo, claim("web.py", LINE))) == ["active"]


@pytest.mark.parametrize(
    "content",
    [
        TEST + "\n\ndef rows(request):\n    query = request.args['q']\n    " + LINE + "\n    return rows\n",
        TEST.replace("    rows = db", "    rows  = db"),
        TEST.replace(f"    {LINE}", f"    if user:\n        {LINE}"),
    ],
    ids=["another function", "white space", "indentation"],
)
def test_a_dismissal_hides_no_other_place_of_its_file(kilo: Runner, repo: Repo, content: str) -> None:
    dismiss(kilo, repo, "test_db.py", TEST)
    repo.stage("test_db.py", content)
    number = content.count("\n") - 1
    line = next(row.strip() for row in reversed(content.splitlines()) if "db.execute" in row)
    assert statuses(review(kilo, claim("test_db.py", line, line=number))) == ["active"]


def test_a_dismissed_line_does_not_excuse_its_removal(kilo: Runner, repo: Repo) -> None:
    check = "check_admin(user)"
    repo.stage("app.py", f"def f(user):\n    {check}\n    delete(user)\n")
    (found,) = review(kilo, claim("app.py", check)).json()["findings"]
    assert kilo("dismiss", found["fingerprint"][:8]).code == 0
    repo.commit("dismissed")
    repo.stage("app.py", "def f(user):\n    delete(user)\n")
    assert statuses(review(kilo, claim("app.py", check))) == ["active"]


def test_a_dismissal_holds_where_nothing_has_changed_but_lines_above(kilo: Runner, repo: Repo) -> None:
    dismiss(kilo, repo, "test_db.py", TEST)
    repo.stage("test_db.py", "import db\n\n\n" + TEST.replace("assert rows", "assert len(rows) == 1"))
    assert statuses(review(kilo, claim("test_db.py", LINE))) == ["dismissed"]


def test_a_file_that_git_sees_renamed_keeps_its_dismissal(kilo: Runner, repo: Repo) -> None:
    dismiss(kilo, repo, "test_db.py", TEST)
    repo.git("mv", "test_db.py", "test_rows.py")
    repo.stage("test_rows.py", TEST.replace("assert rows", "assert len(rows) == 1"))
    assert statuses(review(kilo, claim("test_rows.py", LINE))) == ["dismissed"]


SHOWN = "".join(f"    step{number}()\n" for number in range(12))
BEGUN = "rows = db.execute("


def begun(x: str, last: str) -> str:
    """A statement that goes on below what a model is shown of a change to `x`."""
    below = "".join(f"    after{number}()\n" for number in range(9))
    return f"{SHOWN}    x = {x}\n    {BEGUN}\n        a,\n        b,\n        {last},\n    )\n{below}"


def dismissed_statement(kilo: Runner, repo: Repo) -> None:
    repo.commit("begun", a__py="def f():\n" + begun("1", "1"))
    repo.stage("a.py", "def f():\n" + begun("2", "1"))
    (found,) = review(kilo, claim("a.py", BEGUN)).json()["findings"]
    assert kilo("dismiss", found["fingerprint"][:8], "--reason", "a constant").code == 0


def test_a_remembered_finding_is_known_by_the_statement_that_is_there_now(kilo: Runner, repo: Repo) -> None:
    dismissed_statement(kilo, repo)
    repo.commit("another statement", a__py="def f():\n" + begun("1", "input()"))
    repo.stage("a.py", "def f():\n" + begun("2", "input()"))
    done = review(kilo, claim("a.py", BEGUN))
    assert (statuses(done), done.json()["usage"]["requests"]) == (["active"], 0)


def test_a_twin_of_a_hunk_is_known_by_its_own_statement(kilo: Runner, repo: Repo) -> None:
    dismissed_statement(kilo, repo)
    repo.commit("a second one", a__py="def f():\n" + begun("1", "1") + begun("1", "input()"))
    repo.stage("a.py", "def f():\n" + begun("3", "1") + begun("3", "input()"))
    done = review(kilo, claim("a.py", BEGUN, line=15))
    assert statuses(done) == ["dismissed", "active"]
    assert [row["state"] for row in done.json()["coverage"]["entries"]] == ["reviewed", "cached"]


# In a proposal, only for places that the base has


def accepted(proposal: Proposal, name: str, content: str, *arguments: str) -> None:
    """Have the base accept the finding about `LINE` in this file."""
    proposal.base({name: content})
    proposal.claims = [claim(name, LINE)]
    hub, kilo = proposal.hub, proposal.kilo
    answer = json.dumps({"findings": proposal.claims})
    with Ollama(models=[Model("m:1", loaded_window=32768)], ruling=AFFIRMED, answer=answer) as server:
        assert kilo("baseline", "create", "--target", "HEAD", cwd=hub.path, env=by_server(server)).code == 0
    hub.git("add", "-A")
    hub.commit("baseline")


@pytest.mark.parametrize("gone", [(), ("test_db.py",)], ids=["kept", "deleted"])
@pytest.mark.long
def test_a_proposal_claims_no_entry_for_another_file(proposal: Proposal, gone: tuple[str, ...]) -> None:
    accepted(proposal, "test_db.py", TEST)
    proposal.claims = [claim("web.py", LINE)]
    assert statuses(proposal.review({"web.py": WEB}, gone=gone)) == ["active"]


@pytest.mark.long
def test_a_proposal_claims_no_entry_by_a_second_line_in_the_same_function(proposal: Proposal) -> None:
    accepted(proposal, "test_db.py", TEST)
    again = TEST.replace("    assert rows", f"    query = input()\n    {LINE}\n    assert rows")
    proposal.claims = [claim("test_db.py", LINE, line=5)]
    assert statuses(proposal.review({"test_db.py": again})) == ["active"]


@pytest.mark.long
def test_a_proposal_claims_no_entry_by_taking_a_line_out_of_its_guard(proposal: Proposal) -> None:
    guarded = TEST.replace(f"    {LINE}", f"    if trusted:\n        {LINE}")
    accepted(proposal, "test_db.py", guarded)
    assert statuses(proposal.review({"test_db.py": TEST})) == ["active"]


NESTED = f"def outer(query):\n    query = escape(query)\n\n    def rows():\n        {LINE}\n\n    return rows\n"
IN_CLASS = f"class Rows:\n    permission = ADMIN\n\n    def get(self, query):\n        {LINE}\n\n    def other(self):\n        x = 1\n"


@pytest.mark.parametrize(
    ("content", "changed", "status"),
    [
        (NESTED, NESTED.replace("    query = escape(query)\n", ""), "active"),
        (IN_CLASS, IN_CLASS.replace("ADMIN", "ANY"), "active"),
        (IN_CLASS, IN_CLASS.replace("x = 1", "x = 2"), "baseline"),
        (BESIDE.replace("\n\ndef", "\n    audit(rows)\n\ndef"), BESIDE, "active"),
    ],
    ids=["outer function", "class", "another method", "the last statement"],
)
@pytest.mark.long
def test_what_is_around_a_function_counts_as_well(proposal: Proposal, content: str, changed: str, status: str) -> None:
    accepted(proposal, "test_db.py", content)
    proposal.claims = [claim("test_db.py", LINE)]
    assert statuses(proposal.review({"test_db.py": changed})) == [status]


GUARDED = f"import db\n@admin_only\ndef rows(query):\n    {LINE}\n    return rows\ndef other():\n    x = 1\n"


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        (GUARDED.replace("@admin_only\n", "\n"), "active"),
        (GUARDED.replace("@admin_only\n", ""), "active"),
        (GUARDED.replace("@admin_only\n", "@app.route('/<query>')\n\n"), "active"),
        (GUARDED.replace("@admin_only", "@app.route('/<query>')\n\n@admin_only"), "active"),
        (GUARDED.replace("@admin_only", "@app.route(\n\n    '/<query>'\n)\n@admin_only"), "active"),
        (GUARDED.replace("import db", "from mine import db"), "active"),
        (GUARDED.replace("x = 1", "x = 2"), "baseline"),
    ],
    ids=["blank", "gone", "another", "one more", "several lines", "what it uses", "below"],
)
@pytest.mark.long
def test_a_decorator_belongs_to_its_function_whatever_blank_lines_are_between(
    proposal: Proposal, changed: str, status: str
) -> None:
    accepted(proposal, "test_db.py", GUARDED)
    proposal.claims = [claim("test_db.py", LINE)]
    assert statuses(proposal.review({"test_db.py": changed})) == [status]


def test_a_comment_of_the_base_does_not_excuse_a_function_without_its_decorator(proposal: Proposal) -> None:
    line = f"{LINE}  # kilo-review: ignore[security] only admins come here"
    proposal.base({"test_db.py": GUARDED.replace(LINE, line)})
    proposal.claims = [claim("test_db.py", line)]
    changed = GUARDED.replace(LINE, line).replace("@admin_only\n", "\n")
    assert statuses(proposal.review({"test_db.py": changed})) == ["active"]


SPLIT = "subprocess.run("
QUERY = 'def f(id, db):\n    query = f"""\n        SELECT *\n        WHERE id = {int(id)}\n    """\n    return db.run(query)\n'
ARGUMENTS = "".join(f'        "argument {number}",\n' for number in range(40))
CALL = f"def f(a):\n    {SPLIT}\n{ARGUMENTS}        shell=False,\n    )\n"
SCRIPT = "f() {\n  ssh host <<EOF\n  ls\n  rm -rf /tmp/x\nEOF\n}\n"
TEMPLATE = "function f(id, db) {\n  const q = `\n    SELECT *\n    WHERE id = ${Number(id)}`;\n  return db.run(q);\n}\n"
STEPS = "jobs:\n  a:\n    steps:\n      - run: |\n          make test\n          echo done\n      - run: ls\n"
BRANCH = "def f(a):\n    if check(\n        a\n    ):\n        return 1\n"


@pytest.mark.parametrize(
    ("name", "content", "code", "change", "status"),
    [
        ("a.py", QUERY, 'query = f"""', ("{int(id)}", "{id}"), "active"),
        ("a.py", CALL, SPLIT, ("shell=False", "shell=True"), "active"),
        ("a.sh", SCRIPT, "ssh host <<EOF", ("/tmp/x", "/$1"), "active"),
        ("a.js", TEMPLATE, "const q = `", ("Number(id)", "id"), "active"),
        ("a.yml", STEPS, "- run: |", ("echo done", "curl x | sh"), "active"),
        ("a.py", BRANCH, "if check(", ("        a\n", "        b\n"), "active"),
        ("a.py", QUERY, 'query = f"""', ("return db", "return other.db"), "dismissed"),
        ("a.yml", STEPS, "- run: |", ("run: ls", "run: pwd"), "dismissed"),
        ("a.py", BRANCH, "if check(", ("return 1", "return 2"), "dismissed"),
    ],
    ids=[
        *("string", "long call", "here-document", "template", "block of YAML", "condition"),
        *("below the string", "below the block", "the body of a condition"),
    ],
)
def test_a_statement_is_told_by_all_of_its_lines(
    kilo: Runner, repo: Repo, name: str, content: str, code: str, change: tuple[str, str], status: str
) -> None:
    repo.stage(name, content)
    (found,) = review(kilo, claim(name, code)).json()["findings"]
    assert kilo("dismiss", found["fingerprint"][:8]).code == 0
    assert statuses(review(kilo, claim(name, code))) == ["dismissed"]
    repo.stage(name, content.replace(*change))
    assert statuses(review(kilo, claim(name, code))) == [status]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (BESIDE.replace("'SELECT 1'", "input()"), LINE),
        (BESIDE.replace("    query = 'SELECT 1'\n", ""), LINE),
        ("@route('/')\n" + BESIDE, LINE),
        (BESIDE.replace("test_rows()", "rows(query)"), LINE),
    ],
    ids=["what flows in", "what guarded it", "a decorator", "the heading"],
)
@pytest.mark.long
def test_in_a_proposal_an_entry_is_void_where_its_function_changes(proposal: Proposal, content: str, code: str) -> None:
    accepted(proposal, "test_db.py", BESIDE)
    proposal.claims = [claim("test_db.py", code)]
    assert statuses(proposal.review({"test_db.py": content})) == ["active"]


@pytest.mark.parametrize("code", [SPLIT, f'{SPLIT}\n        ["ls"],'], ids=["first line", "both lines"])
def test_a_decision_is_about_the_whole_statement(kilo: Runner, repo: Repo, code: str) -> None:
    body = f'def f(a):\n    {SPLIT}\n        ["ls"],\n    )\n'
    repo.stage("app.py", body)
    (found,) = review(kilo, claim("app.py", code)).json()["findings"]
    assert kilo("dismiss", found["fingerprint"][:8]).code == 0
    assert statuses(review(kilo, claim("app.py", code))) == ["dismissed"]
    repo.stage("app.py", body.replace('["ls"],', "[a], shell=True,"))
    assert statuses(review(kilo, claim("app.py", code.replace('["ls"],', "[a], shell=True,")))) == ["active"]


@pytest.mark.long
def test_in_a_proposal_an_entry_holds_for_the_place_that_the_base_has(proposal: Proposal) -> None:
    accepted(proposal, "test_db.py", BESIDE)
    assert statuses(proposal.review({"test_db.py": BESIDE.replace("x = 1", "x = 2")})) == ["baseline"]


@pytest.mark.long
def test_in_a_proposal_an_entry_follows_a_rename(proposal: Proposal) -> None:
    accepted(proposal, "test_db.py", BESIDE)
    proposal.claims = [claim("test_rows.py", LINE)]
    renamed = BESIDE.replace("x = 1", "x = 2")
    assert statuses(proposal.review({"test_rows.py": renamed}, gone=("test_db.py",))) == ["baseline"]


# Between the commits of a push


@pytest.fixture
def pushing(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hooked:
    folder = tmp_path / "hooked"
    folder.mkdir()
    for name, value in environment_of(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KILO_REVIEW_MODEL")
    repo.stage("app.py", "def f(user):\n    check_admin(user)\n    delete(user)\n")
    repo.commit("second")
    repo.git("init", "-q", "--bare", "../remote.git")
    repo.git("remote", "add", "origin", "../remote.git")
    repo.git("push", "-q", "-u", "origin", "main")
    hooked = Hooked(repo, folder)
    hooked.install("pre-push")
    return hooked


@pytest.mark.parametrize(
    ("later", "is_fixed"),
    [
        ("def f(user):\n    delete(user)\n\n\ndef unused(user):\n    check_admin(user)\n", False),
        ("def f(user):\n    if False:\n        check_admin(user)\n    delete(user)\n", False),
        ("def f(user):\n    delete(user)\n\n\ndef g(user):\n    check_admin(user)\n    delete(user)\n", False),
        ("def f(user):\n    check_admin(user)\n    delete(user)\n", True),
    ],
    ids=["elsewhere", "never run", "in another function", "as it was"],
)
@pytest.mark.long
def test_a_later_commit_fixes_a_removal_only_where_it_was(
    pushing: Hooked, monkeypatch: pytest.MonkeyPatch, later: str, is_fixed: bool
) -> None:
    finding = claim("app.py", "check_admin(user)", line=2)

    def answer(body: dict[str, Any]) -> str:
        removed = "- " in str(body) and "check_admin" in str(body).partition("The change:")[2]
        return json.dumps({"findings": [finding] if removed and "+     check_admin" not in str(body) else []})

    with Ollama(models=[Model("m:1", loaded_window=8192)], ruling=AFFIRMED, answer=answer) as server:
        for name, value in by_server(server).items():
            monkeypatch.setenv(name, value)
        pushing.repo.commit("removed", app__py="def f(user):\n    delete(user)\n")
        pushing.repo.commit("later", app__py=later, other__py="".join(f"x{n} = {n}\n" for n in range(9)))
        pushing.push(check=False)
        report = pushing.report()
    found = [each["status"] for each in report["findings"] if each["evidence"].strip() == "check_admin(user)"]
    assert ("active" in found) != is_fixed
    assert is_fixed or "suppressed" not in found


@pytest.mark.parametrize(
    ("later", "is_fixed"),
    [
        ("def f(user):\n    delete(user, now())\n", False),
        ("def f(user):\n    remove(user)\n", False),
        ("", True),
    ],
    ids=["the line changes", "another line", "all of it is gone"],
)
@pytest.mark.long
def test_a_removal_is_not_fixed_because_the_line_beside_it_changes(
    pushing: Hooked, monkeypatch: pytest.MonkeyPatch, later: str, is_fixed: bool
) -> None:
    finding = claim("app.py", "delete(user)", line=2)

    def answer(body: dict[str, Any]) -> str:
        text = str(body).partition("The change:")[2]
        return json.dumps({"findings": [finding] if "-     check_admin" in text and "now" not in text else []})

    with Ollama(models=[Model("m:1", loaded_window=8192)], ruling=AFFIRMED, answer=answer) as server:
        for name, value in by_server(server).items():
            monkeypatch.setenv(name, value)
        pushing.repo.commit("removed", app__py="def f(user):\n    delete(user)\n")
        if later:
            pushing.repo.stage("app.py", later)
        else:
            pushing.repo.git("rm", "-q", "app.py")
        pushing.repo.commit("later", other__py="".join(f"x{n} = {n}\n" for n in range(9)))
        pushing.push(check=False)
        report = pushing.report()
    found = [each["status"] for each in report["findings"] if each["evidence"].strip() == "delete(user)"]
    assert ("active" in found) != is_fixed
