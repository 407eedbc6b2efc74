"""Prompts are Markdown files in this folder. This module loads, checks, fills and hashes them.

A user's folder may override any of them by name. What is constant stands first and is byte-identical in every
request, so that a server's prefix cache works; the change comes last (docs/prompts.md).
"""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

FEWEST_WORDS = 7
"""Blanks around and between the words of a text that is hardly the same as a piece of the prompts by chance."""
SHIPPED = Path(__file__).parent
PLACEHOLDERS = {
    "system": (),
    "review": ("{{change}}",),
    "repair": ("{{reply}}",),
    "verify": ("{{claim}}", "{{type}}"),
    "rules": ("{{rules}}",),
    "language": ("{{language}}",),
    "explain": ("{{code}}", "{{line}}", "{{claim}}"),
}
"""Each prompt, and what it must hold exactly once."""

REPLY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "findings": {
            "type": "array",
            "maxItems": 10,
            "items": {
                "type": "object",
                # In alphabetical order too, evidence comes before verdict: some servers sort properties.
                "properties": {
                    "code": {"type": "string"},
                    "file": {"type": "string"},
                    "line": {"type": "integer"},
                    "problem": {"type": "string"},
                    "severity": {"type": "string", "enum": ["critical", "major", "minor"]},
                    "title": {"type": "string"},
                    "type": {
                        "type": "string",
                        "enum": [
                            "bug",
                            "security",
                            "performance",
                            "concurrency",
                            "resource",
                            "api",
                            "maintainability",
                        ],
                    },
                },
                "required": ["code", "file", "line", "problem", "severity", "title", "type"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["findings"],
    "additionalProperties": False,
}
"""Flat, every field required, no lengths or patterns: what all known servers' grammars accept."""


def reply_schema(rules: Sequence[str] = ()) -> dict[str, Any]:
    """The reply's schema; with the names of rules, each finding tells which of them it breaks, if any."""
    if not rules:
        return REPLY_SCHEMA
    schema = deepcopy(REPLY_SCHEMA)
    items = schema["properties"]["findings"]["items"]
    rule = {"type": "string", "enum": ["", *rules]}
    items["properties"] = dict(sorted({**items["properties"], "rule": rule}.items()))
    items["required"] = sorted([*items["required"], "rule"])
    return schema


VERIFY_SCHEMA = {
    "type": "object",
    # The conclusion first, in alphabetical order too.
    "properties": {"confirmed": {"type": "boolean"}, "evidence": {"type": "string"}},
    "required": ["confirmed", "evidence"],
    "additionalProperties": False,
}


EXPLAIN_SCHEMA = {
    "type": "object",
    "properties": {
        "cause": {"type": "string"},
        "example": {"type": "string"},
        "remove": {"type": "string"},
        "write": {"type": "string"},
    },
    "required": ["cause", "example", "remove", "write"],
    "additionalProperties": False,
}


class Message(NamedTuple):
    """One chat message: `role` is `system` or `user`."""

    role: str
    content: str


class Prompts(NamedTuple):
    """The loaded prompts.

    Attributes:
        system: instructions, the same in every request.
        review_template: the user's message, with a place for the change.
        repair_template: the user's message that asks for a reply's content as JSON.
        verify_template: the question whether a claim is true, with places for the claim and the kind of defect.
        rules_template: what stands before the project's rules, with a place for them.
        language_template: the wish for another language, with a place for its tag.
        explain_template: the question for the why of a finding and a fix, with places for code, line and claim.
        language: that tag, or "".
    """

    system: str
    review_template: str
    repair_template: str
    verify_template: str
    rules_template: str
    language_template: str
    explain_template: str
    language: str = ""

    @property
    def version(self) -> str:
        """12 hex digits that change with whatever decides what is found."""
        own = (self.system, self.review_template, self.repair_template, self.rules_template)
        return _digest(*own, self.language and self.language_template, self.language, repr(REPLY_SCHEMA))

    @property
    def verify_version(self) -> str:
        """12 hex digits that change with whatever decides what is confirmed."""
        return _digest(self.system, self.review_template, self.verify_template, self.language, repr(VERIFY_SCHEMA))

    def repeats(self, text: str) -> bool:
        """Whether a text is a piece of the prompts: small models give the description of a field as its value."""
        words = _words(text)
        own = (self.system, self.review_template, self.rules_template, self.verify_template, self.explain_template)
        return words.count(" ") >= FEWEST_WORDS and any(words in _words(each) for each in own)

    def review(self, change: str, rules: str = "") -> list[Message]:
        """Messages that ask about a change.

        Args:
            change: as the model is shown it.
            rules: the project's rules likewise; "" for none.
        """
        parts = [
            self.language and self.language_template.replace("{{language}}", self.language),
            rules and self.rules_template.replace("{{rules}}", rules),
            self.review_template.replace("{{change}}", change),
        ]
        return [Message("system", self.system), Message("user", "\n\n".join(filter(None, parts)))]

    def verify(self, change: str, claim: str, kind: str, rules: str = "") -> list[Message]:
        """Messages that ask whether a claim is true.

        They begin as those that ask about the change, so that a server has most of them in its prefix cache.
        """
        system, user = self.review(change, rules)
        question = self.verify_template.replace("{{type}}", kind).replace("{{claim}}", claim)
        return [system, user._replace(content=f"{user.content}\n\n{question}")]

    def explain(self, code: str, line: int, claim: str) -> list[Message]:
        """Messages that ask why a line is wrong, and for a fix."""
        template = self.explain_template.replace("{{line}}", str(line))
        # The code last: whatever stands in it is not taken for a place.
        before, _, after = template.partition("{{code}}")
        text = before.replace("{{claim}}", claim) + code + after.replace("{{claim}}", claim)
        wish = f' Write "cause" and "example" in the language with the BCP 47 tag {self.language}.'
        return [Message("user", text + (wish if self.language else ""))]

    def repair(self, reply: str) -> list[Message]:
        """Messages that ask for a reply as JSON; the change itself is not sent again."""
        return [Message("user", self.repair_template.replace("{{reply}}", reply))]


def _words(text: str) -> str:
    """Its words alone, in lower case, with a blank before and after each."""
    words = re.findall(r"[^\W_]+", text.lower())
    return f" {' '.join(words)} "


def _digest(*parts: str) -> str:
    import hashlib  # noqa: PLC0415  see Finding.fingerprint

    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def load(folder: Path | None = None, language: str = "") -> Prompts:
    """Load the shipped prompts, or those of `folder` where it has them.

    Args:
        folder: with prompts of one's own.
        language: BCP 47 tag of the language of titles and messages; "" for English.

    Raises:
        ConfigError: the folder is not there, a file cannot be read, or its placeholder is missing.
    """
    if folder is not None and not folder.is_dir():
        raise ConfigError(
            f"the prompts folder {str(folder)!a} does not exist",
            hint="Create it, or correct the setting `prompts`",
        )
    system, review, repair, verify, rules, other, explain = (_read(name, folder) for name in PLACEHOLDERS)
    return Prompts(system, review, repair, verify, rules, other, explain, language)


def path_of(name: str, folder: Path | None = None) -> Path:
    """The file that a prompt is read from: the user's, or the shipped one."""
    own = folder / f"{name}.md" if folder else None
    return own if own and own.exists() else SHIPPED / f"{name}.md"


def _read(name: str, folder: Path | None) -> str:
    path = path_of(name, folder)
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the prompt {str(path)!a} cannot be read: {error}") from None
    for placeholder in PLACEHOLDERS[name]:
        if text.count(placeholder) != 1:
            raise ConfigError(f"the prompt {str(path)!a} must contain {placeholder} exactly once")
    return text
