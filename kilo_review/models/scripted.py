"""The shipped test double: answers from a file, so that hooks, CI and scripts can be tried without a model.

The file (given as the model's name) is JSON: `{"window": 8192, "replies": [...], "rulings": [...]}`. Each reply is
either `{"findings": [...]}` in the model's own form, `{"text": "anything"}`, or `{"error": "what happened"}`; it may
have `"when": "text"` and is then used only for requests that contain the text. Replies without `when` are
used in order, the last one for ever. Without a file, nothing is ever found.

`rulings` answer in the same way when a claim is put to the test; each is `{"confirmed": ..., "evidence": ...}`, or a
text or an error as above. Without them, every claim is confirmed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilo_review.core.errors import ConfigError, ServerFailedError
from kilo_review.core.outcome import ModelInfo
from kilo_review.models.base import AS_EVER, DEFAULT_WINDOW, ONE_AT_A_TIME, Remarks, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilo_review.core.deadline import Deadline
    from kilo_review.core.outcome import Egress
    from kilo_review.models.base import ModelRequest
    from kilo_review.prompts import Message

REPLY_KEYS = {"when", "findings", "text", "error", "cut", "confirmed", "evidence"}
NOTHING: dict[str, Any] = {"findings": []}
CONFIRMED: dict[str, Any] = {"confirmed": True, "evidence": "the script says so"}
OWN_KEYS = {"when", "text", "error", "cut"}
"""Keys of a reply that are not part of what the model says."""


class _Script:
    """Replies to one kind of question."""

    def __init__(self, replies: list[dict[str, Any]], otherwise: dict[str, Any]) -> None:
        self._conditional = [reply for reply in replies if "when" in reply]
        self._sequence = [reply for reply in replies if "when" not in reply]
        self._otherwise = otherwise

    def next(self, prompt: str) -> dict[str, Any]:
        for reply in self._conditional:
            if reply["when"] in prompt:
                return reply
        if len(self._sequence) > 1:
            return self._sequence.pop(0)
        return self._sequence[0] if self._sequence else self._otherwise


class ScriptedModel:
    """Answers from a list."""

    def __init__(
        self,
        info: ModelInfo,
        parameters: Mapping[str, Any],
        replies: list[dict[str, Any]],
        rulings: list[dict[str, Any]],
    ) -> None:
        self.info = info
        self.parameters = parameters
        self.width = ONE_AT_A_TIME
        self.remarks = Remarks()
        self._replies = _Script(replies, NOTHING)
        self._rulings = _Script(rulings, CONFIRMED)

    def ask(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,  # noqa: ARG002
        deadline: Deadline,
        sampling: Mapping[str, Any] = AS_EVER,  # noqa: ARG002
    ) -> Reply:
        """See `Model.ask`."""
        deadline.cap(1.0)
        prompt = "\n".join(message.content for message in messages)
        is_ruling = '\n- "confirmed": true only if' in messages[-1].content  # no line of a change begins so
        reply = (self._rulings if is_ruling else self._replies).next(messages[-1].content)
        if "error" in reply:
            raise ServerFailedError(str(reply["error"]), hint="The script says so")
        said = {name: value for name, value in reply.items() if name not in OWN_KEYS}
        text = str(reply["text"]) if "text" in reply else json.dumps(said or NOTHING)
        return Reply(
            text,
            is_cut=bool(reply.get("cut")),
            prompt_tokens=len(prompt) // 4,
            completion_tokens=len(text) // 4,
        )

    def another(self) -> ScriptedModel:
        """See `Model.another`; there is one script."""
        return self

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
    replies, rulings = script.get("replies", []), script.get("rulings", [])
    window = script.get("window", DEFAULT_WINDOW)
    if not isinstance(replies, list) or not isinstance(rulings, list) or not isinstance(window, int):
        raise ConfigError(f"{request.name!a} is not a script of replies")
    if not all(isinstance(reply, dict) for reply in (*replies, *rulings)):
        raise ConfigError(f"{request.name!a} is not a script of replies")
    unknown = set(script) - {"window", "replies", "rulings"}
    unknown |= {key for each in (*replies, *rulings) for key in set(each) - REPLY_KEYS}
    if unknown:
        raise ConfigError(f"{request.name!a} is not a script of replies: unknown key {min(unknown)!a}")
    digest = hashlib.sha256(json.dumps(script).encode()).hexdigest()[:32]
    info = ModelInfo(
        "scripted", request.name or "nothing", None, window, why="no model: a script answers", digest=digest
    )
    return ScriptedModel(info, request.parameters, replies, rulings)


def _script(name: str) -> dict[str, Any]:
    try:
        script = json.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the script {name!a} cannot be read: {error}") from None
    if not isinstance(script, dict):
        raise ConfigError(f"{name!a} is not a script of replies")
    return script
