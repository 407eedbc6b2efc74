"""What servers say when something fails → an error that names the cause and the next step.

Servers word their failures differently and change the words between versions, so texts are matched loosely,
on what was seen of Ollama 0.17 to 0.33, LM Studio 0.4, llama.cpp, vLLM and LocalAI.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kilo_review.display import one_line, shortened
from kilo_review.errors import (
    LARGER_WINDOW,
    BrokenStreamError,
    CrashedError,
    ModelError,
    ModelNotFoundError,
    NotLocalError,
    PromptTooLongError,
    SchemaRejectedError,
    ServerBusyError,
    ServerFailedError,
    WrongServerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_QUOTE = 300
LONGEST_READ = 16_384
"""Characters of a failed answer that are looked at; what a server explains it explains at the beginning."""
ANY_SERVER = "the server"
"""What a server is called whose maker is not known."""
USUAL_URLS = {
    "Ollama": "Ollama: http://127.0.0.1:11434, without /v1",
    "LM Studio": "LM Studio: http://127.0.0.1:1234/v1",
}
"""Of the servers that are always asked in the same way."""
MOST_DIGITS = 12
"""Of a count of tokens; Python refuses to read a number of thousands of digits."""
OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, BUSY = 200, 401, 403, 404, (429, 503)
FAILED = 500
"""And above."""

_OVERFLOW = re.compile(
    r"exceed_context_size|exceeds? the (?:available )?context (?:size|length)|longer than the context length"
    r"|maximum context length|n_keep: *\d+ *>= *n_ctx|keep the first \d+ tokens when context|context length of only",
    re.IGNORECASE,
)
_OVERFLOW_NUMBERS = (
    re.compile(r'"n_prompt_tokens"\s*:\s*(?P<prompt>\d+).*?"n_ctx"\s*:\s*(?P<window>\d+)', re.DOTALL),
    re.compile(r"\((?P<prompt>\d+) tokens?\).*?\((?P<window>\d+) tokens?\)", re.DOTALL),
    re.compile(r"n_keep: *(?P<prompt>\d+) *>= *n_ctx: *(?P<window>\d+)"),
    re.compile(r"first (?P<prompt>\d+) tokens when context.*?only (?P<window>\d+) tokens", re.DOTALL),
    re.compile(r"maximum context length is (?P<window>\d+).*?(?:at least |contains )(?P<prompt>\d+)", re.DOTALL),
    re.compile(r"maximum context length is (?P<window>\d+)"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked for what: for messages.

    Attributes:
        server: the server's name as its users say it.
        url: its base URL.
        model: the model's name.
        get: how a user of this server gets a model that is missing.
    """

    server: str
    url: str
    model: str = ""
    get: str = "Its list of models tells what it has"


def fault(asked: Asked, status: int, text: str) -> ModelError:
    """The error for a failed answer.

    Args:
        asked: who was asked.
        status: HTTP status; 200 for an error inside a stream.
        text: the body, or the error's own text.
    """
    said = message_of(text)
    text = text[:LONGEST_READ]
    for pattern, build in _TABLE:
        if pattern.search(text):
            return build(asked, text, said)
    if status == UNAUTHORIZED:
        return _unauthorized(asked, text, said)
    if status == FORBIDDEN and not text.strip():
        return WrongServerError(
            f"{asked.server} refuses the host name in {asked.url}", hint="Use 127.0.0.1 in the base URL"
        )
    if status == NOT_FOUND:
        return _wrong_path(asked, text, said)
    if status in BUSY:
        return ServerBusyError(f"{asked.server} is busy ({said})", hint="Try again in a moment")
    told = said if status == OK else f"{status}: {said}"
    return ServerFailedError(f"{asked.server} at {asked.url} failed ({told})", hint="Its log may tell more")


def not_json(asked: Asked, said: str, hint: str) -> ModelError:
    """What came in the place of a piece of an answer is no JSON: another program's page, or broken."""
    if said.lstrip().startswith("<"):
        return _wrong_path(asked, said, message_of(said))
    return BrokenStreamError(f"{asked.server} sent something that is not JSON", hint=hint)


def flood(limit: int) -> ServerFailedError:
    """Nobody reads an answer to its end that is longer than this."""
    return ServerFailedError(
        f"the server sent more than {limit // 1024} KiB for one answer, and was not listened to any longer",
        hint="Is it a model server that the base URL names? Its log tells what it sent",
    )


def message_of(text: str) -> str:
    """The human part of an error body: `{"error": "…"}`, `{"error": {"message": "…"}}`, or plain text."""
    found: Any = text
    for _ in range(4):  # Ollama hands llama-server's JSON on as a string inside its own
        try:
            parsed = json.loads(found)
        except (ValueError, TypeError, RecursionError):
            break
        if not isinstance(parsed, dict):
            break
        error = parsed.get("error", parsed)
        found = (
            error.get("message") or error.get("detail") or json.dumps(error) if isinstance(error, dict) else str(error)
        )
        if isinstance(error, dict):
            break
    quoted = one_line(str(found)[:LONGEST_READ])
    return shortened(quoted, LONGEST_QUOTE) or "no explanation"


def _overflow(asked: Asked, text: str, said: str) -> ModelError:
    numbers = next((match.groupdict() for pattern in _OVERFLOW_NUMBERS if (match := pattern.search(text))), {})
    return PromptTooLongError(
        f"the prompt does not fit the window of {asked.model!a} ({said})",
        prompt_tokens=_number(numbers.get("prompt")),
        window=_number(numbers.get("window")),
        hint=LARGER_WINDOW,
    )


def _number(digits: str | None) -> int | None:
    return int(digits) if digits and len(digits) <= MOST_DIGITS else None


def _schema(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return SchemaRejectedError(
        f"{asked.server} cannot enforce the reply's form ({said})", hint="A newer version of it, or another model, may"
    )


def _memory(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return ServerFailedError(
        f"{asked.model!a} does not fit into memory ({said})",
        hint="Use a smaller model or quantisation, or a smaller window (--option num_ctx=4096)",
    )


def _crash(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return CrashedError(
        f"{asked.server} crashed while running {asked.model!a} ({said})",
        hint="Its log tells why; often it is memory",
    )


def _evicted(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return CrashedError(
        f"{asked.server} took {asked.model!a} out of memory in the middle of the request ({said})",
        hint="Keep it loaded, or let no other program load another model meanwhile",
    )


def _cloud(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return NotLocalError(f"{asked.model!a} is a cloud model ({said})", hint="Choose a model that runs on this machine")


def _none_loaded(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return ModelNotFoundError(
        f"{asked.server} has no model loaded",
        hint="Load one: lms load NAME (lms ls shows names), or switch on just-in-time loading",
    )


def _not_loaded(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return ModelNotFoundError(
        f"{asked.server} at {asked.url} has not loaded {asked.model!a}, and does not load it for a request",
        hint="Load it there (llama-server: POST /models/load, or start it without --no-models-autoload), or choose a "
        "loaded one with --model; kilo-review models shows them",
    )


def _missing(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return ModelNotFoundError(f"{asked.server} at {asked.url} has no model {asked.model!a}", hint=asked.get)


def _wrong_path(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    usual = USUAL_URLS.get(asked.server, f"{asked.url} was asked; most servers have this interface below /v1")
    return WrongServerError(
        f"something answers at {asked.url}, but not as {_kind(asked)} does ({said})",
        hint=f"Is the base URL right? {usual}",
    )


def _kind(asked: Asked) -> str:
    return "a model server" if asked.server == ANY_SERVER else asked.server


def _busy(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return ServerBusyError(f"{asked.server} is busy ({said})", hint="Try again in a moment")


def _behind_the_proxy(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return CrashedError(
        f"a server behind {asked.server} at {asked.url} that answers for {asked.model!a} is down ({said})",
        hint="Start that server; its address is in the proxy's configuration (model_list, api_base)",
    )


def _shared_window(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return ServerBusyError(
        f"the slots of {asked.server} at {asked.url} share one window, and it is full ({said})",
        hint="Give each its own by naming their number (llama-server --parallel N), or ask for one thing at a time "
        "(--jobs 1)",
    )


def _cooling_down(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return ServerBusyError(
        f"all servers behind {asked.server} at {asked.url} that answer for {asked.model!a} have failed lately ({said})",
        hint="Start them, and try again after their cooldown (cooldown_time in the proxy's configuration)",
    )


def _thinking(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return ServerFailedError(
        f"{asked.server} refused the option think ({said})", hint="Leave it out, or choose another model"
    )


def _unauthorized(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001  it may repeat the token
    return ServerFailedError(
        f"{asked.server} at {asked.url} wants a token",
        hint="Set KILO_REVIEW_API_KEY and name the server with --base-url (LM Studio: LM_API_TOKEN is enough)",
    )


_TABLE: tuple[tuple[re.Pattern[str], Callable[[Asked, str, str], ModelError]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), build)
    for pattern, build in (
        (_OVERFLOW.pattern, _overflow),
        (
            r"invalid format:|parse grammar|initialize samplers|invalid json schema|rule identifier|response_format",
            _schema,
        ),
        (
            r"more system memory|out[- ]of[- ]memory|cudaMalloc failed|failed to load model|unable to allocate",
            _memory,
        ),
        (r"context size has been exceeded", _shared_window),
        (r"all_deployments_in_cooldown|no deployments available", _cooling_down),
        (r"litellm\.(?:APIConnectionError|[^\"]{0,200}(?:cannot connect to host|connection error))", _behind_the_proxy),
        (r"signin_url|ollama cloud is disabled", _cloud),
        (r"no models? (?:is |are |currently )*loaded|multiple models are loaded", _none_loaded),
        (r"model (?:\S{1,200} )?is not loaded", _not_loaded),
        (
            r"model .{0,200} not found|invalid model identifier|model_not_found|the model .{0,200} does not exist",
            _missing,
        ),
        (r"unexpected endpoint or method|404 page not found|<html|<!doctype", _wrong_path),
        (r"does not support thinking|invalid think value", _thinking),
        (r"server busy|loading model|unavailable_error", _busy),
        (r"invalid_api_key|invalid api key|api token|no_db_connection", _unauthorized),
        (
            r"has terminated|unexpectedly stopped|has crashed|error was encountered",
            _crash,
        ),
        (r"model (?:is )?unloaded", _evicted),
    )
)


def leaves_open(status: int) -> bool:
    """Whether an answer leaves open what it would have told: the server was busy, or failed."""
    return status in BUSY or status >= FAILED
