"""HTTP to a forge. With `models/transport.py` the only module that imports httpx.

The token goes to the address that was configured and to no other: no redirect is followed, no address that an answer
names is asked, no proxy of the environment is used. Answers are limited in size and time, and not unpacked.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from kilo_review.core.errors import ForgeError, MissingError, UnsureError
from kilo_review.forge.retry import BUSY_SECONDS, FAILING, limited_for
from kilo_review.sanitize.terminal import one_line, shortened, without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    import httpx

    from kilo_review.forge.base import Place

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
"""Between two pieces of an answer."""
ANSWER_SECONDS = 120.0
"""For one whole answer."""
WAIT_SECONDS = 120.0
"""For all waits of one run together, where the forge asks us to come later."""
LARGEST_BODY = 16 << 20
MOST_PAGES = 200
LONGEST_SAID = 200
SHORTEST_MASKED = 4
AGAIN = "Run the job again later"
UNAUTHORIZED, FORBIDDEN, MISSING, METHOD, GONE, LOCKED, UNAVAILABLE = 401, 403, 404, 405, 410, 423, 503
FIRST_ERROR = 400
REDIRECTS = range(300, 400)


class _UnreachableError(ForgeError):
    """Nobody was there, so nothing was sent."""


@dataclass(slots=True)
class Patience:
    """How long all waits together may last.

    Attributes:
        left: seconds.
        sleep: waits.
        now: seconds since 1970.
    """

    left: float = WAIT_SECONDS
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time

    def wait(self, seconds: float) -> bool:
        """Wait, if there is still time for it."""
        if seconds > self.left:
            return False
        self.left -= seconds
        self.sleep(seconds)
        return True


class Answer(NamedTuple):
    """A complete answer; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401  it is whatever the forge sent
        """The body as JSON, or None if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def facts(self) -> dict[str, Any]:
        """The body as an object, empty if it is none."""
        found = self.json()
        return found if isinstance(found, dict) else {}


@dataclass(slots=True)
class Wire:
    """Requests to one forge, one after the other.

    Attributes:
        name: the forge's, for messages.
        place: where it is.
        headers: what is sent with each request, the token among it.
        scopes: the next step where the token may not do something.
        patience: for waits.
    """

    name: str
    place: Place
    headers: Mapping[str, str] = field(repr=False)
    scopes: str
    patience: Patience = field(default_factory=Patience)
    _client: httpx.Client | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def get(self, path: str, **query: str | int) -> Any:  # noqa: ANN401
        """What lies at a path below the API's address.

        Raises:
            ForgeError: the forge does not tell.
        """
        return self.send("GET", path, query=query).json()

    def one(self, path: str, key: str) -> dict[str, Any]:
        """Return the object at a path, which must have a text under `key`.

        Raises:
            ForgeError: the forge does not tell, or what answers is not its interface.
        """
        found = self.send("GET", path).facts()
        if not isinstance(found.get(key), str):
            raise ForgeError(f"{self.name} answers {path} with something else than an object", hint=self._whose())
        return found

    def pages(self, path: str, *, size: int, parameter: str) -> list[dict[str, Any]]:
        """All rows of a listing, page by page. The addresses are ours; an answer only tells whether there is more.

        Args:
            path: of the listing.
            size: rows that are asked for at once.
            parameter: what the forge calls that.

        Raises:
            ForgeError: the forge does not tell, or has too many.
        """
        rows: dict[str, dict[str, Any]] = {}
        for page in range(1, MOST_PAGES + 1):
            answer = self.send("GET", path, query={parameter: size, "page": page})
            found = answer.json()
            if not isinstance(found, list):
                raise ForgeError(f"{self.name} answers {path} with something else than a list", hint=self._whose())
            fresh = {
                str(row.get("id")): row for row in found if isinstance(row, dict) and str(row.get("id")) not in rows
            }
            rows |= fresh
            if not fresh or not _has_more(answer.headers, len(rows), is_full=len(found) >= size):
                return list(rows.values())
        raise ForgeError(f"{self.name} has more than {MOST_PAGES} pages of {path}", hint="Open a new request")

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str | int] | None = None,
        accept: Collection[int] = (),
        is_repeatable: bool | None = None,
    ) -> Answer:
        """One request; where the forge asks for time, or fails, tried again within limits.

        Args:
            method: of HTTP.
            path: below the API's address, beginning with a slash; or a whole address on the same host.
            body: a JSON object.
            query: the address's parameters.
            accept: statuses of errors that are answers to the caller.
            is_repeatable: whether doing it twice is doing it once; without a word, all but POST are.

        Raises:
            UnsureError: it was sent to write something, and there is no clear answer.
            MissingError: what it names is not there.
            ForgeError: the forge did not do it.
        """
        repeatable = method != "POST" if is_repeatable is None else is_repeatable
        for seconds in (*BUSY_SECONDS, None):
            try:
                answer = self._once(method, path, body, query)
            except (UnsureError, _UnreachableError) as error:
                may_repeat = repeatable or isinstance(error, _UnreachableError)
                if not may_repeat or seconds is None or not self.patience.wait(seconds):
                    raise
                continue
            limit = limited_for(answer.status, answer.headers, self.said(answer), self.patience.now())
            is_failing = answer.status in FAILING and answer.status not in accept
            if limit is None and not is_failing:
                return self._checked(answer, accept)
            if is_failing and not repeatable and limit is None and answer.status != UNAVAILABLE:
                raise UnsureError(f"{self.name} failed while it was asked to write ({answer.status})", hint=AGAIN)
            if seconds is None or not self.patience.wait(limit if limit is not None else seconds):
                raise self._impatient(answer, limit)
        raise AssertionError("the last try either returns or raises")

    def said(self, answer: Answer) -> str:
        """The forge's own words about an error, on one line, without the token."""
        facts = answer.facts()
        words = facts.get("message") or facts.get("error") or ""
        details = facts.get("errors")
        text = words if isinstance(words, str) else json.dumps(words)
        if details:
            text += f": {json.dumps(details)}"
        return shortened(self._masked(one_line(text)), LONGEST_SAID)

    def _masked(self, text: str) -> str:
        token = self.place.token
        return text.replace(token, "***") if len(token) >= SHORTEST_MASKED else text

    def _checked(self, answer: Answer, accept: Collection[int]) -> Answer:
        status, said = answer.status, self.said(answer)
        if status in REDIRECTS:
            where = shortened(self._masked(one_line(answer.headers.get("location", "elsewhere"))), LONGEST_SAID)
            raise ForgeError(
                f"{self.name} at {self.place.api} redirects to {without_credentials(where)}, which was not followed",
                hint="Was the repository moved? Use its present address",
            )
        if status < FIRST_ERROR or status in accept:
            return answer
        words = f" ({status}: {said})" if said else f" ({status})"
        if status == UNAUTHORIZED:
            raise ForgeError(f"{self.name} does not accept the token{words}", hint=self.scopes)
        if status == LOCKED or re.search(r"\block(?:ed)?\b", said, re.IGNORECASE):
            raise ForgeError(f"the conversation or the repository is locked{words}", hint="Unlock it, or read the log")
        if status == FORBIDDEN:
            raise ForgeError(f"the token may not do that on {self.name}{words}", hint=self.scopes)
        if status in {MISSING, METHOD, GONE}:
            raise MissingError(
                f"{self.name} has no request {self.place.number} in {self.place.repository}, or hides it from this "
                f"token{words}",
                hint=self.scopes,
            )
        raise ForgeError(f"{self.name} refused what it was asked for{words}", hint=self._whose())

    def _impatient(self, answer: Answer, limit: float | None) -> ForgeError:
        if limit is None:
            return ForgeError(f"{self.name} keeps failing ({answer.status})", hint=AGAIN)
        return ForgeError(
            f"{self.name} limits how much may be asked ({answer.status}) and wants {limit:.0f} s of waiting, more than "
            f"what is left of {WAIT_SECONDS:.0f} s",
            hint=AGAIN,
        )

    def _whose(self) -> str:
        return f"Is {self.place.api} the address of {self.name}'s interface?"

    def _once(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, str | int] | None
    ) -> Answer:
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        url = self._address(path)
        headers = {"Content-Type": "application/json"} if content is not None else {}
        with self._told_apart():
            stream = self._connected().stream(method, url, content=content, headers=headers, params=query)
            with stream as response:
                return Answer(
                    response.status_code,
                    {name.lower(): value for name, value in response.headers.items()},
                    self._limited(response),
                )

    def _address(self, path: str) -> str:
        """A path below the interface's address, or a whole address on the same host."""
        if path.startswith("/"):
            return self.place.api + path
        if urlsplit(path)[:2] != urlsplit(self.place.api)[:2]:
            raise ForgeError(f"{path!a} is not at {self.place.api}, so the token was not sent there")
        return path

    def _limited(self, response: httpx.Response) -> bytes:
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            raise ForgeError(
                f"{self.name} answers in the encoding {encoding!a}, which was not asked for",
                hint="Is a proxy in between?",
            )
        end, body = time.monotonic() + ANSWER_SECONDS, bytearray()
        for piece in response.iter_raw():
            body += piece
            if len(body) > LARGEST_BODY or time.monotonic() > end:
                raise ForgeError(f"{self.name} sent an answer without an end", hint=self._whose())
        return bytes(body)

    @contextmanager
    def _told_apart(self) -> Iterator[None]:
        """Errors of httpx → ours: nobody was there, or nobody knows what became of it."""
        import httpx  # noqa: PLC0415  as long to load as the whole program without it

        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise _UnreachableError(
                f"cannot connect to {self.name} at {self.place.api} ({self._lowered(error)})",
                hint="Is the address right, and reachable without a proxy?",
            ) from None
        except (httpx.InvalidURL, UnicodeError):  # a host that no name can be
            raise ForgeError(f"{self.place.api!a} is no address of {self.name}", hint=self._whose()) from None
        except httpx.HTTPError as error:
            raise UnsureError(f"the connection to {self.name} broke ({self._lowered(error)})", hint=AGAIN) from None

    def _lowered(self, error: Exception) -> str:
        text = one_line(str(error)) or type(error).__name__
        return shortened(self._masked(text[:1].lower() + text[1:]), LONGEST_SAID)

    def _connected(self) -> httpx.Client:
        if self._client is None:
            self._client = _client(self.place, self.headers)
        return self._client


def _has_more(headers: Mapping[str, str], so_far: int, *, is_full: bool) -> bool:
    """Whether a page is not the last one: the forge's word where it says something, else whether it was full."""
    if "x-next-page" in headers:
        return bool(headers["x-next-page"].strip())
    if headers.get("x-total-count", "").isdecimal():
        return so_far < int(headers["x-total-count"])
    if "link" in headers:
        return 'rel="next"' in headers["link"].lower()
    return is_full


def _client(place: Place, headers: Mapping[str, str]) -> httpx.Client:
    import httpx  # noqa: PLC0415

    fixed = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "kilo-review"}
    return httpx.Client(
        trust_env=False,
        follow_redirects=False,
        verify=trusted(place),
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        headers={**fixed, **headers},
    )


def trusted(place: Place) -> ssl.SSLContext | bool:
    """What certificates are checked against: the usual authorities, and those of a file.

    Raises:
        ForgeError: the file cannot be read, or holds no certificate.
    """
    if not place.api.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody: reading the usual ones takes 20 ms
    if not place.authority:
        return True
    import httpx  # noqa: PLC0415

    context = httpx.create_ssl_context(trust_env=False)
    try:
        context.load_verify_locations(place.authority)
    except OSError as error:
        raise ForgeError(
            f"the certificates {place.authority!a} cannot be read ({error.strerror or error})",
            hint="KILO_REVIEW_CA_FILE, SSL_CERT_FILE or CI_SERVER_TLS_CA_FILE names them",
        ) from None
    return context
