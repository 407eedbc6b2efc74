"""Servers that are asked over TLS: whose certificate is believed, and what is sent to one whose is not."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.support.fakes.ollama import Model, Ollama

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Repo, Result, Runner


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "company-ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def secured(authority: trustme.CA) -> Iterator[Callable[..., Ollama]]:
    """Ollama behind TLS, with a certificate for these names."""
    opened: list[Ollama] = []

    def start(*names: str) -> Ollama:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(context)
        server = Ollama(models=[Model("m:1", loaded_window=8192)], tls=context)
        server.__enter__()
        opened.append(server)
        return server

    yield start
    for server in opened:
        server.__exit__(None, None, None)


@pytest.fixture
def review(kilo: Runner, buggy: Repo) -> Callable[..., Result]:
    assert buggy.path.exists()

    def reviewed(server: Ollama, **environment: str) -> Result:
        url = server.url.replace("http:", "https:").replace("127.0.0.1", "localhost")
        return kilo("--provider", "ollama", "--base-url", url, "--format", "json", env=environment)

    return reviewed


def test_a_certificate_of_the_users_authority_is_believed(
    secured: Callable[..., Ollama], review: Callable[..., Result], ca_file: Path
) -> None:
    server = secured("localhost")
    done = review(server, KILO_REVIEW_CA_FILE=str(ca_file))
    assert done.code == 0, done.talk
    report = done.json()
    assert report["outcome"] == "clean"
    assert {row["url"] for row in report["egress"]} == {server.url.replace("http://127.0.0.1", "https://localhost")}


def test_the_users_file_may_name_it(
    secured: Callable[..., Ollama], review: Callable[..., Result], ca_file: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    own.write_text(f'ca_file = "{ca_file}"\n')
    assert review(secured("localhost"), KILO_REVIEW_CONFIG=str(own)).code == 0


@pytest.mark.parametrize("names", [("localhost",), ("other.example",)], ids=["unknown authority", "another name"])
def test_any_other_certificate_is_refused_and_nothing_is_sent(
    secured: Callable[..., Ollama],
    review: Callable[..., Result],
    kilo: Runner,
    ca_file: Path,
    names: tuple[str, ...],
) -> None:
    server = secured(*names)
    known = {} if names == ("localhost",) else {"KILO_REVIEW_CA_FILE": str(ca_file)}
    done = review(server, **known)
    assert done.code == 3
    reason = done.json()["coverage"]["entries"][0]["reason"]
    assert "has a certificate that is not to be trusted (" in reason
    told = kilo(
        "--provider", "ollama", "--base-url", server.url.replace("http://127.0.0.1", "https://localhost"), env=known
    )
    assert "If an authority of your own has signed it, name that in your settings: ca_file" in told.text
    assert not server.calls


def test_the_repository_may_not_name_an_authority(
    secured: Callable[..., Ollama], review: Callable[..., Result], ca_file: Path, buggy: Repo
) -> None:
    buggy.write(".kilo-review.toml", f'ca_file = "{ca_file}"\n')
    done = review(secured("localhost"))
    assert done.code == 2
    assert "the repository may not set 'ca_file'" in done.talk


@pytest.mark.parametrize(
    "content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_that_holds_none_is_told(
    secured: Callable[..., Ollama], review: Callable[..., Result], tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "bad.pem"
    if content is not None:
        file.write_text(content)
    done = review(secured("localhost"), KILO_REVIEW_CA_FILE=str(file))
    assert done.code == 2, done.talk
    assert "ca_file" in done.talk
    assert "cannot be used" in done.talk
