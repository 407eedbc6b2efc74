"""What servers say when something fails → an error that names the cause and the next step.

Servers word their failures differently and change the words between versions, so texts are matched loosely,
on what was seen of Ollama 0.17 to 0.33, LM Studio 0.4, llama.cpp, vLLM, SGLang, TGI, OpenVINO and LocalAI. A prompt
that is too long is known by what is said about it (`overflow.py`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kilo_review.core.errors import (
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
from kilo_review.models.overflow import LONGEST_READ, Overflow, overflow, words_of
from kilo_review.sanitize.terminal import one_line, shortened

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_QUOTE = 300
ANY_SERVER = "the server"
"""What a server is called whose maker is not known."""
USUAL_URLS = {
    "Ollama": "Ollama: http://127.0.0.1:11434, without /v1",
    "LM Studio": "LM Studio: http://127.0.0.1:1234/v1",
}
"""Of the servers that are always asked in the same way."""
OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, BUSY = 200, 401, 403, 404, (429, 503)
FAILED = 500
"""And above."""
STATUSES_OF_REFUSALS = frozenset({OK, 400, 413, 415, 422, FAILED, 501})
"""With which servers refuse a part of a request; 200 stands for an error inside a stream."""

_ROUTE = r"(?i)(?:/chat/completions|/completions|/models|/responses|/embeddings)/*$"
_SHARED = r"(?i)context size has been exceeded"
_SCHEMA = (
    r"(?i)invalid format:|(?<![-/\w])grammars?\b(?!-)|initialize samplers|rule identifier|response[ _]?format"
    r"|json[ _]?schema|\bjson[ _](?:mode|object)\b|structured[ _-]?(?:output|generation)|guided[ _-]?(?:decod|json)"
    r"|guided generat|constrained (?:decod|generat)|xgrammar|llguidance|lm-format-enforcer|(?<![-/\w])outlines\b(?!-)"
)
"""What servers say of a form that they cannot enforce."""
_ANSWER_LIMIT = (
    r"(?is)(?:\bmax_(?:new_|completion_|output_)?tokens\b|\bnum_predict\b|\b(?:completion|output) tokens\b).{0,80}"
    r"(?:exceed|too (?:large|big|high)|(?:greater|larger|more|less) than|at most|<=|above|maximum|limit)"
    r"|\b(?:maximum|limit)\b.{0,40}\b(?:completion|output) tokens\b"
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
    return _by_words(asked, status, text, said) or _by_status(asked, status, text[:LONGEST_READ], said)


def _by_words(asked: Asked, status: int, text: str, said: str) -> ModelError | None:
    words = words_of(text)
    if re.search(_SHARED, words):
        return _shared_window(asked, said)
    told = overflow(status, text)
    if told is not None:
        return _overflow(asked, told, said)
    if status in STATUSES_OF_REFUSALS:
        for refusal, build in ((_SCHEMA, _schema), (_ANSWER_LIMIT, _answer_limit)):
            if re.search(refusal, words):
                return build(asked, text, said)
    found = (build(asked, text, said) for pattern, build in _TABLE if pattern.search(text[:LONGEST_READ]))
    return next(found, None)


def _by_status(asked: Asked, status: int, text: str, said: str) -> ModelError:
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
    found: Any = text.lstrip("\ufeff")
    for _ in range(4):  # Ollama hands llama-server's JSON on as a string inside its own
        try:
            parsed = json.loads(found)
        except (ValueError, TypeError, RecursionError):
            break
        if not isinstance(parsed, dict):
            break
        error = parsed.get("error") or parsed
        told = error.get("message") or error.get("detail") or error if isinstance(error, dict) else error
        found = told if isinstance(told, str) else words_of(json.dumps(told))
        if isinstance(error, dict):
            break
    quoted = one_line(str(found)[:LONGEST_READ])
    return shortened(quoted, LONGEST_QUOTE) or "no explanation"


def _overflow(asked: Asked, told: Overflow, said: str) -> ModelError:
    return PromptTooLongError(
        f"the prompt does not fit the window of {asked.model!a} ({said})",
        prompt_tokens=told.prompt,
        window=told.window,
        hint=LARGER_WINDOW,
    )


def refused_option(asked: Asked, name: str, said: str) -> ModelError:
    """The server takes no parameter of this name, and the user has given one."""
    return ServerFailedError(
        f"{asked.server} refused the option {name} ({said})", hint="Leave it out, or choose another model"
    )


def _answer_limit(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return ServerFailedError(
        f"{asked.server} does not give so long an answer ({said})",
        hint="Ask for less with --option num_predict=512",
    )


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
    usual = USUAL_URLS.get(asked.server) or base_before_route(asked.url)
    usual = usual or f"{asked.url} was asked; most servers have this interface below /v1"
    return WrongServerError(
        f"something answers at {asked.url}, but not as {_kind(asked)} does ({said})",
        hint=f"Is the base URL right? {usual}",
    )


def base_before_route(url: str) -> str:
    """Return what to write instead of a URL that ends in a route of the OpenAI wire; "" if it ends in none."""
    base = re.sub(_ROUTE, "", url)
    return f"It ends before the route: {base}" if base != url else ""


def _kind(asked: Asked) -> str:
    return "a model server" if asked.server == ANY_SERVER else asked.server


def _busy(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return ServerBusyError(f"{asked.server} is busy ({said})", hint="Try again in a moment")


def _behind_the_proxy(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001
    return CrashedError(
        f"a server behind {asked.server} at {asked.url} that answers for {asked.model!a} is down ({said})",
        hint="Start that server; its address is in the proxy's configuration (model_list, api_base)",
    )


def _shared_window(asked: Asked, said: str) -> ModelError:
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
    return refused_option(asked, "think", said)


def _unauthorized(asked: Asked, text: str, said: str) -> ModelError:  # noqa: ARG001  it may repeat the token
    return ServerFailedError(
        f"{asked.server} at {asked.url} wants a token",
        hint="Set KILO_REVIEW_API_KEY and name the server with --base-url (LM Studio: LM_API_TOKEN is enough)",
    )


_NO_CONNECTION = "cannot connect to host|connection error|server disconnected|connection reset"
_TABLE: tuple[tuple[re.Pattern[str], Callable[[Asked, str, str], ModelError]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), build)
    for pattern, build in (
        (
            r"more system memory|out[- ]of[- ]memory|cudaMalloc failed|failed to load model|unable to allocate",
            _memory,
        ),
        (r"all_deployments_in_cooldown|no deployments available", _cooling_down),
        (rf"litellm\.(?:APIConnectionError|[^\"]{{0,200}}(?:{_NO_CONNECTION}))", _behind_the_proxy),
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
