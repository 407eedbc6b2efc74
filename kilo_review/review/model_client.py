"""One chunk → the model's claims: ask, and climb down a ladder if the reply cannot be read.

The rungs: with the reply schema; the reply alone, to be written again as JSON; without the schema; then give
up and say so. A server that rejects the schema is not bothered with it again.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from kilo_review.core.errors import (
    BadReplyError,
    CutReplyError,
    ModelError,
    PromptTooLongError,
    SchemaRejectedError,
    ServerBusyError,
    ServerFailedError,
)
from kilo_review.core.outcome import Usage
from kilo_review.judge.parse import Claim, parse, salvage
from kilo_review.judge.remedy import Explanation, parse_explanation
from kilo_review.judge.verify import Ruling, parse_ruling
from kilo_review.models.base import AS_EVER, DEFAULT_WINDOW
from kilo_review.models.retry import Patience, Try
from kilo_review.plan.chunk import Chunk, TokenMeter
from kilo_review.plan.rules import blocks
from kilo_review.prompts import EXPLAIN_SCHEMA, VERIFY_SCHEMA, Message, Prompts, reply_schema
from kilo_review.sanitize.model_input import inert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kilo_review.core.deadline import Deadline
    from kilo_review.models.base import Model, Reply
Answer = TypeVar("Answer")
NO_TOOLS = (
    "kilo-review offers none: switch off what adds tools to its requests (MCP, web search), or choose another model"
)
PARROTED = "it repeats the instructions"
UNUSUAL_TOKEN = 5
"""Characters; code has 3 to 4 on average."""
LONGEST_TOKEN = 10
"""Characters; more than this on average means that part of the prompt was not counted."""


def _advice(reply: Reply, otherwise: str) -> str:
    """What to do: "A" with the rest of a sentence, or first what ends thinking that was not asked for."""
    return f"{reply.remedy}, or a{otherwise}" if reply.remedy else f"A{otherwise}"


def _nobody() -> None:
    """Nobody is told."""


@dataclass(slots=True)
class Form:
    """What is known of a server's way with reply schemas; shared by all who ask it.

    Attributes:
        is_taken: False once the server has refused one.
        why: its words; "" if they are not known.
    """

    is_taken: bool = True
    why: str = ""

    def refuse(self, error: SchemaRejectedError) -> None:
        """Never ask for a schema again."""
        self.is_taken, self.why = False, error.message

    @property
    def details(self) -> list[str]:
        """What there is to say about it."""
        return [f"{self.why}: no reply schema is sent any more"] if self.why else []


@dataclass(slots=True)
class Asker:
    """Asks one model, and keeps the account."""

    model: Model
    prompts: Prompts
    deadline: Deadline
    usage: Usage
    meter: TokenMeter = field(default_factory=TokenMeter)
    form: Form = field(default_factory=Form)
    told_busy: Callable[[], None] = _nobody
    """Called when the server asks for patience."""

    def another(self, told_busy: Callable[[], None]) -> Asker:
        """The same on a connection of its own, for another thread; what is known of the tokenizer is shared."""
        own = self.model.another()
        return Asker(own, self.prompts, self.deadline, Usage(), self.meter, self.form, told_busy)

    def claims(self, chunk: Chunk, sampling: Mapping[str, Any] = AS_EVER) -> list[Claim]:
        """What the model says about a chunk.

        Args:
            chunk: what is asked about.
            sampling: see `Model.ask`.

        Raises:
            CutReplyError: the answer hit its token limit.
            BadReplyError: no rung of the ladder gave a readable answer.
            ModelError: the model could not be asked.
        """
        question = self.prompts.review(chunk.text, blocks(chunk.rules))
        schema = reply_schema([rule.name for rule in chunk.rules])
        reply = self._ask(question, schema, sampling)
        try:
            claims = self._read(reply)
        except CutReplyError:
            raise
        except BadReplyError as unreadable:
            claims = self._climb_down(question, schema, reply, unreadable)
        return [self._own(claim) for claim in claims]

    def rescued(self, error: CutReplyError) -> list[Claim]:
        """The complete claims of an answer that was cut off."""
        return [self._own(claim) for claim in salvage(error.text)]

    def ruling(self, question: Sequence[Message]) -> Ruling:
        """Whether a claim stands; asked once more, without a schema, if the answer cannot be read.

        Raises:
            BadReplyError: neither answer says yes or no.
            ModelError: the model could not be asked.
        """
        ruling = self._once_more_without_schema(question, VERIFY_SCHEMA, parse_ruling)
        return ruling._replace(evidence="") if self.prompts.repeats(ruling.evidence) else ruling

    def explanation(self, question: Sequence[Message]) -> Explanation:
        """Why a line is wrong, and a fix; asked once more, without a schema, if the answer cannot be read.

        Raises:
            BadReplyError: neither answer can be read.
            ModelError: the model could not be asked.
        """
        found = self._once_more_without_schema(question, EXPLAIN_SCHEMA, parse_explanation)
        if self.prompts.repeats(found.cause):
            raise BadReplyError("the model's answer explains nothing: it repeats the instructions")
        return found._replace(example="") if self.prompts.repeats(found.example) else found

    def _once_more_without_schema(
        self, question: Sequence[Message], schema: dict[str, Any], read: Callable[[str, str], Answer]
    ) -> Answer:
        reply = self._ask(question, schema)
        try:
            return self._read_as(read, reply)
        except BadReplyError:
            if not self.form.is_taken:
                raise
        return self._read_as(read, self._ask(question, None))

    def _own(self, claim: Claim) -> Claim:
        """Return the claim; refuted if all its words are the instructions', to be confirmed if some of them are.

        A model that has found something may still describe it in words that it was given.
        """
        repeated = [self.prompts.repeats(text) for text in (claim.title, claim.problem)]
        if all(repeated):
            return claim._replace(objection=PARROTED)
        return claim._replace(doubt=PARROTED) if any(repeated) else claim

    def _climb_down(
        self, question: Sequence[Message], schema: dict[str, Any], reply: Reply, unreadable: BadReplyError
    ) -> list[Claim]:
        if reply.text.strip() and self._fits_another_question(reply.text):
            try:
                return self._read(self._ask(self.prompts.repair(inert(reply.text)), schema))
            except (BadReplyError, PromptTooLongError):
                pass  # the next rung: it is the reply that is too long, not the change
        if not self.form.is_taken:
            raise unreadable
        return self._read(self._ask(question, None))

    def _fits_another_question(self, text: str) -> bool:
        """A reply that fills the window would be cut, or refused, before it could be written again."""
        return 2 * self.meter.estimate(text) <= (self.model.info.window or DEFAULT_WINDOW)

    def _read(self, reply: Reply) -> list[Claim]:
        if reply.is_cut:
            raise CutReplyError(
                f"the model's answer was cut off after {reply.completion_tokens} tokens",
                text=reply.text,
                hint=_advice(reply, f"llow more with --option num_predict={max(2048, 2 * reply.completion_tokens)}"),
            )
        return self._read_as(parse, reply)

    def _read_as(self, read: Callable[[str, str], Answer], reply: Reply) -> Answer:
        """The answer, or an error that names what was wrong with this reply."""
        if reply.tool and not reply.text.strip():
            raise BadReplyError(f"the model called the tool {reply.tool!a} instead of answering", hint=NO_TOOLS)
        try:
            return read(reply.text, reply.reasoning)
        except BadReplyError as error:
            if reply.remedy and (reply.reasoning or "<think" in reply.text):
                error.hint = _advice(reply, "llow more with --option num_predict=4096")
            raise

    def _ask(
        self, messages: Sequence[Message], schema: dict[str, Any] | None, sampling: Mapping[str, Any] = AS_EVER
    ) -> Reply:
        size = sum(len(message.content.encode("utf-8", "replace")) for message in messages)
        try:
            reply = self._timed(messages, schema if self.form.is_taken else None, sampling)
        except PromptTooLongError as error:
            self.meter.learn(size, error.prompt_tokens or 0)
            raise self._with_numbers(error, size) from None
        except SchemaRejectedError as error:
            if schema is None:
                raise
            self.form.refuse(error)
            return self._ask(messages, None, sampling)
        self.usage.requests += reply.requests - 1
        self.usage.prompt_tokens += reply.prompt_tokens
        self.usage.completion_tokens += reply.completion_tokens
        self.usage.cached_prompt_tokens += reply.cached_prompt_tokens
        self.usage.answer_seconds += reply.answer_seconds
        self.usage.reading_seconds += reply.reading_seconds
        self._check_that_all_was_read(messages, reply)
        self.meter.learn(size, reply.prompt_tokens)
        return reply

    def _with_numbers(self, error: PromptTooLongError, size: int) -> PromptTooLongError:
        """The error; where the server tells no numbers, with our own."""
        if error.prompt_tokens or error.window:
            return error
        window, tokens = self.model.info.window, self.meter.estimate_bytes(size)
        ours = f"it takes about {tokens} of the {window} tokens that were asked for"
        return PromptTooLongError(f"{error.message}; {ours}", hint=error.hint)

    def _timed(self, messages: Sequence[Message], schema: dict[str, Any] | None, sampling: Mapping[str, Any]) -> Reply:
        """The answer, by a second try where that is worth it."""
        patience = Patience()
        while True:
            started = time.monotonic()
            self.usage.requests += 1
            try:
                return self.model.ask(messages, schema, self.deadline, sampling)
            except ModelError as error:
                if isinstance(error, ServerBusyError):
                    self.told_busy()
                again = patience.next_try(error, self._seed(sampling))
                if again is None or not self._has_time_for(again):
                    raise
            finally:
                self.usage.model_seconds += time.monotonic() - started
            time.sleep(again.seconds)
            sampling = {**sampling, **again.sampling}

    def _seed(self, sampling: Mapping[str, Any]) -> int:
        seed = sampling.get("seed", self.model.parameters.get("seed"))
        return seed if isinstance(seed, int) else 0

    def _has_time_for(self, again: Try) -> bool:
        left = self.deadline.remaining()
        return left is None or left > again.seconds

    def _is_cut(self, size: int, tokens: int) -> bool:
        if self.model.info.provider != "ollama":
            return 0 < tokens < size / LONGEST_TOKEN
        # Its older versions leave cached tokens out of the count; but one that cuts (before 0.12.4 it does not know
        # `truncate`) leaves exactly the window (up to 0.24), or half of it and two (ollama#17427).
        window = self.model.info.window or 0
        return 0 < window <= tokens or (tokens == window // 2 + 2 and tokens < size / UNUSUAL_TOKEN)

    def _check_that_all_was_read(self, messages: Sequence[Message], reply: Reply) -> None:
        """A server that cut the prompt in silence tells by its count: no tokenizer needs so few tokens for code."""
        # A run of blanks or dashes may be one token, so only what does not repeat itself counts.
        size = sum(len(re.sub(r"(.)\1+", r"\1", message.content)) for message in messages)
        if self._is_cut(size, reply.prompt_tokens):
            raise ServerFailedError(
                f"the server read only {reply.prompt_tokens} tokens of a prompt of {size} characters",
                hint="Give the model a larger window (context length); for Ollama use --provider ollama",
            )
