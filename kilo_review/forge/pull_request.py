"""What a CI system's variables say of its forge → the place to post to."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from kilo_review.core.errors import ConfigError
from kilo_review.forge.base import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilo_review.source.ci_environment import Pipeline

TOKEN = "KILO_REVIEW_FORGE_TOKEN"  # noqa: S105  a name
FORGE, ADDRESS, REPOSITORY = "KILO_REVIEW_FORGE", "KILO_REVIEW_FORGE_URL", "KILO_REVIEW_FORGE_REPOSITORY"
"""For CI systems that do not say where the change is proposed, such as Jenkins."""
AUTHORITY = "KILO_REVIEW_CA_FILE"
"""The setting `ca_file`, as far as it is in the environment."""
VARIABLES = (TOKEN, FORGE, ADDRESS, REPOSITORY)
"""Those of our own."""
TOKENS = {
    "github": ("GITHUB_TOKEN",),
    "gitea": ("GITEA_TOKEN", "FORGEJO_TOKEN", "GITHUB_TOKEN"),
    "gitlab": ("GITLAB_TOKEN",),
}
API = {"github": "", "gitea": "/api/v1", "gitlab": "/api/v4"}
SAME = {"forgejo": "gitea"}
GITHUB = "https://api.github.com"
_REPOSITORY = re.compile(r"[\w.-]+(?:/[\w.-]+)+|\d+")
_TOKEN = re.compile(r"[!-~]+")


class _Whereabouts(NamedTuple):
    system: str
    api: str
    repository: str


def place_of(environment: Mapping[str, str], pipeline: Pipeline, head: str) -> Place:
    """Where to post.

    Args:
        environment: the variables of the run.
        pipeline: what they say of it.
        head: the commit that was reviewed.

    Raises:
        ConfigError: something is missing, or the token would be sent in the open.
    """
    found = _whereabouts(environment, pipeline)
    if not pipeline.number.isascii() or not pipeline.number.isdecimal():
        raise ConfigError(
            "this run is for no pull or merge request, so nothing can be posted",
            hint="Leave --post out, or run it for pull requests",
        )
    if not _REPOSITORY.fullmatch(found.repository):
        raise ConfigError(f"{found.repository!a} is no repository to post to", hint=f"Name it: {REPOSITORY}")
    return Place(
        found.system,
        checked(found.api),
        found.repository,
        pipeline.number,
        _token(environment, found.system),
        head,
        pipeline.base,
        environment.get(AUTHORITY)
        or environment.get("SSL_CERT_FILE")
        or environment.get("CI_SERVER_TLS_CA_FILE")
        or "",
    )


def checked(api: str) -> str:
    """An address that a token may be sent to.

    Raises:
        ConfigError: it is none, or others could read along.
    """
    try:
        parts = urlsplit(api)
        port = parts.port
    except ValueError:
        raise ConfigError(f"{api!a} is no address of a forge") from None
    plain = parts.scheme == "http" and _is_loopback(parts.hostname or "")
    has_more = parts.username is not None or parts.password is not None or parts.query or parts.fragment or port == 0
    if not parts.hostname or has_more or not api.isprintable() or parts.scheme not in {"http", "https"}:
        raise ConfigError("the forge's address is none, or has more in it than host and path", hint=f"Set {ADDRESS}")
    if parts.scheme != "https" and not plain:
        raise ConfigError(f"{api!a} is not https, so the token was not sent", hint="Use the forge's https address")
    return api.rstrip("/")


def _whereabouts(environment: Mapping[str, str], pipeline: Pipeline) -> _Whereabouts:
    get = environment.get
    if get(FORGE):
        return _named(SAME.get(get(FORGE, ""), get(FORGE, "")), get(ADDRESS, ""), get(REPOSITORY, ""))
    if pipeline.system == "github":
        return _Whereabouts("github", get("GITHUB_API_URL") or GITHUB, get("GITHUB_REPOSITORY", ""))
    if pipeline.system == "gitea":
        api = get("GITHUB_API_URL", "")
        api = api if api.rstrip("/").endswith("/api/v1") else get("GITHUB_SERVER_URL", "").rstrip("/") + "/api/v1"
        return _Whereabouts("gitea", api, get("GITHUB_REPOSITORY", ""))
    if pipeline.system == "gitlab":
        # A pipeline for a merge request from a fork may run in the fork; the request is in the target.
        project = get("CI_MERGE_REQUEST_PROJECT_ID") or get("CI_PROJECT_ID", "")
        return _Whereabouts("gitlab", get("CI_API_V4_URL", ""), project)
    if pipeline.system == "woodpecker":
        kind = get("CI_FORGE_TYPE", "")
        return _named(SAME.get(kind, kind), get("CI_FORGE_URL", ""), get("CI_REPO", ""))
    raise ConfigError(
        f"nothing tells which forge to post to{f' from {pipeline.system}' if pipeline.system else ''}",
        hint=f"Set {FORGE} (github, gitlab, gitea, forgejo), {ADDRESS} and {REPOSITORY}",
    )


def _named(system: str, url: str, repository: str) -> _Whereabouts:
    """A forge that was named, with the address of its pages or of its interface."""
    if system not in TOKENS:
        raise ConfigError(
            f"{system!a} is no forge that can be posted to", hint=f"{FORGE} is github, gitlab, gitea or forgejo"
        )
    plain = url.rstrip("/")
    if system == "github":
        is_usual = plain in {"", "https://github.com", GITHUB}
        api = GITHUB if is_usual else plain if plain.endswith("/api/v3") else f"{plain}/api/v3"
    else:
        api = plain if plain.endswith(API[system]) else plain + API[system]
    return _Whereabouts(system, api, repository)


def _token(environment: Mapping[str, str], system: str) -> str:
    names = (TOKEN, *TOKENS[system])
    token = next((value for name in names if (value := environment.get(name, "").strip())), "")
    if not token and system == "gitlab" and environment.get("CI_JOB_TOKEN"):
        raise ConfigError(
            "there is no token to post with: CI_JOB_TOKEN, which GitLab gives to each job, may not write comments",
            hint=f"Give the job a project access token with the scope api in {TOKEN} or GITLAB_TOKEN",
        )
    if not token:
        raise ConfigError("there is no token to post with", hint=f"Give the job one in {' or '.join(names)}")
    if not _TOKEN.fullmatch(token):
        raise ConfigError("the token to post with holds characters that no token has", hint="Is it a whole file?")
    return token


def _is_loopback(host: str) -> bool:
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
