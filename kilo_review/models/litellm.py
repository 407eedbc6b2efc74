"""LiteLLM's proxy: one address with several servers behind it. It tells where they are, and what fits their windows.

A proxy on this machine may pass on what it gets to any other one. So what it tells is held to the same rules as a base
URL: this machine, or a host that the user has allowed by name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from kilo_review.core.errors import NotLocalError
from kilo_review.models.base import count_of
from kilo_review.models.consent import plain_name
from kilo_review.models.elsewhere import is_cloud_name
from kilo_review.models.faults import FORBIDDEN, UNAUTHORIZED, leaves_open
from kilo_review.models.locality import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilo_review.models.choose import Offer
    from kilo_review.models.consent import Consent
    from kilo_review.models.transport import Client

SERVER = "LiteLLM"
OWNER = "openai"
"""`owned_by` of whatever it lists."""
ALONE: Mapping[str, Any] = {"disable_fallbacks": True}
"""For each request: where a model fails, that is told; its question is not passed on to one that nobody has chosen."""
REFUSALS = frozenset({UNAUTHORIZED, FORBIDDEN})
CLOUD = "https://ollama.com"
UNNAMED = "a server that it does not name"


class Deployment(NamedTuple):
    """One of the servers that answer for a model.

    Attributes:
        model: the name under which the proxy lists it.
        url: the server's base URL; "" if the proxy has none: then it is that of the provider in the cloud.
        window: the tokens that fit, 0 if the proxy's configuration does not tell.
    """

    model: str
    url: str
    window: int

    @property
    def host(self) -> str:
        """The server's name or address; "" if it has none that can be read."""
        try:
            return urlsplit(self.url).hostname or ""
        except ValueError:
            return ""

    @property
    def is_beside_the_proxy(self) -> bool:
        """Whether it runs on the proxy's own machine. A name is not looked up: the proxy may find another address."""
        try:
            return plain_name(self.host) == "localhost" or is_loopback(self.host)
        except ValueError:
            return False

    def may_be_asked(self, consent: Consent) -> bool:
        """Whether it is on the proxy's machine, or on one that the user has allowed in the way that it is asked."""
        secure = self.url.startswith("https:") or plain_name(self.host) in consent.plain
        return self.is_beside_the_proxy or (consent.covers(self.host) and secure)


def deployments(client: Client, *, is_certain: bool = False) -> list[Deployment]:
    """The servers behind the proxy; none if something else answers here, which does not know the question.

    Args:
        client: the connection.
        is_certain: it has said that it is this proxy.

    Raises:
        NotLocalError: it does not tell.
    """
    answer = client.get("/model/info")
    data = answer.json()
    listed = data.get("data") if isinstance(data, dict) else None
    found = [each for entry in listed if (each := _deployment(entry))] if isinstance(listed, list) else []
    is_silent = isinstance(listed, list) or answer.status in REFUSALS or leaves_open(answer.status)
    if not found and (is_certain or is_silent):
        raise NotLocalError(
            f"{client.endpoint.url} lists models as {SERVER} does, and does not tell where it passes on what they are "
            f"asked ({answer.status}); nothing was sent",
            hint="Its administrator can let this key ask /v1/model/info; or name one of the servers behind it",
        )
    return found


def _deployment(entry: object) -> Deployment | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("litellm_params"), dict):
        return None
    url, about = entry["litellm_params"].get("api_base"), entry.get("model_info")
    window = count_of(about.get("max_input_tokens")) if isinstance(about, dict) else 0
    if is_cloud_name(str(entry["litellm_params"].get("model"))):  # by an Ollama that passes it on itself
        url = CLOUD
    return Deployment(str(entry.get("model_name")), url if isinstance(url, str) else "", window)


def told(offer: Offer, servers: Sequence[Deployment], consent: Consent) -> Offer:
    """The offer with what is true of whichever server answers: the smallest window, and where one may not be asked."""
    own = [each for each in servers if each.model == offer.name]
    foreign = next((each.host or UNNAMED for each in own if not each.may_be_asked(consent)), "")
    window = min((each.window for each in own if each.window), default=offer.window)
    return replace(offer, window=window, elsewhere=foreign if own else UNNAMED)


def is_local(name: str, servers: Sequence[Deployment]) -> bool:
    """Whether all servers that answer for a model run on the proxy's own machine."""
    return all(each.is_beside_the_proxy for each in servers if each.model == name)


def refuse_elsewhere(offer: Offer) -> None:
    """Stop before anything is sent to a proxy that would pass it on.

    Raises:
        NotLocalError: one of the model's servers is neither on this machine nor allowed.
    """
    if offer.elsewhere:
        raise NotLocalError(
            f"{SERVER} passes what {offer.name!a} is asked on to {offer.elsewhere}; nothing was sent",
            hint="Choose another of its models, or allow that host by name in your own settings (allow_hosts, and over "
            "http allow_http_hosts as well)",
        )
