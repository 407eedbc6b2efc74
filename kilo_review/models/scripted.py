"""The shipped test double: answers from a file, so that hooks, CI and scripts can be tried without a model.

The file (given as the model's name) is JSON: `{"window": 8192, "replies": [...]}`. Each reply is either
`{"findings": [...]}` in the model's own form, `{"text": "anything"}`, or `{"error": "what happened"}`; it may
have `"when": "text"` and is then used only for requests that contain the text. Replies without `when` are
used in order, the last one for ever. Without a file, nothing is ever found.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilo_review.errors import ConfigError, ServerFailedError
from kilo_review.models.base import DEFAULT_WINDOW, Reply
from kilo_review.outcome import ModelInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilo_review.deadline import Deadline
    from kilo_review.models.base import ModelRequest
    from kilo_review.outcome import Egress
    from kilo_review.prompts import Message

REPLY_KEYS = {"when", "findings", "text", "error", "cut"}
NOTHING: dict[str, Any] = {"findings": []}


class ScriptedModel:
    """Answers from a list."""

    def __init__(self, info: ModelInfo, parameters: Mapping[str, Any], replies: list[dict[str, Any]]) -> None:
        self.info = info
        self.parameters = parameters
        self._conditional = [reply for reply in replies if "when" in reply]
        self._sequence = [reply for reply in replies if "when" not in reply]

    def ask(self, messages: Sequence[Message], schema: Mapping[str, Any] | None, deadline: Deadline) -> Reply:  # noqa: ARG002
        """See `Model.ask`."""
        deadline.cap(1.0)
        prompt = "\n".join(message.content for message in messages)
        reply = self._next(messages[-1].content)
        if "error" in reply:
            raise ServerFailedError(str(reply["error"]), hint="The script says so")
        text = str(reply["text"]) if "text" in reply else json.dumps({"findings": reply.get("findings", [])})
        return Reply(
            text,
            is_cut=bool(reply.get("cut")),
            prompt_tokens=len(prompt) // 4,
            completion_tokens=len(text) // 4,
        )

    def _next(self, prompt: str) -> dict[str, Any]:
        for reply in self._conditional:
            if reply["when"] in prompt:
                return reply
        if len(self._sequence) > 1:
            return self._sequence.pop(0)
        return self._sequence[0] if self._sequence else NOTHING

    def slow_reason(self, deadline: Deadline) -> str:  # noqa: ARG002
        """It is never slow."""
        return ""

    def close(self) -> None:
        """Nothing to release."""


def connect(request: ModelRequest, egress: list[Egress], deadline: Deadline) -> ScriptedModel:  # noqa: ARG001
    """Read the script.

    Raises:
        ConfigError: it cannot be read or is not a script.
    """
    script = _script(request.name) if request.name else {}
    replies, window = script.get("replies", []), script.get("window", DEFAULT_WINDOW)
    if (
        not isinstance(replies, list)
        or not all(isinstance(reply, dict) for reply in replies)
        or not isinstance(window, int)
    ):
        raise ConfigError(f"{request.name!a} is not a script of replies")
    unknown = (set(script) - {"window", "replies"}) or {key for each in replies for key in set(each) - REPLY_KEYS}
    if unknown:
        raise ConfigError(f"{request.name!a} is not a script of replies: unknown key {min(unknown)!a}")
    digest = hashlib.sha256(json.dumps(script).encode()).hexdigest()[:32]
    info = ModelInfo(
        "scripted", request.name or "nothing", None, window, why="no model: a script answers", digest=digest
    )
    return ScriptedModel(info, request.parameters, replies)


def _script(name: str) -> dict[str, Any]:
    try:
        script = json.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the script {name!a} cannot be read: {error}") from None
    if not isinstance(script, dict):
        raise ConfigError(f"{name!a} is not a script of replies")
    return script
