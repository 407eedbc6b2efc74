"""What can go wrong, as a tree. One boundary (`cli.main`) turns it into exit codes.

    KiloReviewError
    ├── UsageError                 exit 2: the user asked for something that cannot be
    │   ├── ConfigError            a setting is unknown, of the wrong type, or not this source's to set
    │   └── TargetError            no such revision, no repository here, nothing to compare with
    ├── SourceError                exit 3: git could not tell us what the change is
    │   └── DiffMismatchError      what was parsed is not what git says; never "clean"
    ├── ForgeError                 findings could not be posted; never an exit code, they are in the report all the same
    │   ├── RefusedPlaceError      the forge takes no comment on that line: it goes to the summary
    │   ├── MissingError           what was to be changed is not there, or not for us
    │   └── UnsureError            a comment was sent, and nobody knows whether it was made: look first
    └── ModelError                 exit 3 by hand, 0 under a hook: the change was not reviewed
        ├── UnreachableError       connection refused, name does not resolve, reset while connecting
        ├── NotLocalError          the address or the model is not on this machine; nothing was sent
        ├── WrongServerError       something answers, but it is not what the settings say
        ├── ModelNotFoundError     the server does not have that model, or none at all
        ├── ServerBusyError        the server asked to come back later
        ├── ServerFailedError      out of memory, or said an error that we do not know
        │   └── CrashedError       its runner died or the model was evicted: worth one more try
        ├── SchemaRejectedError    the server cannot enforce our reply schema: ask again without it
        ├── PromptTooLongError     the prompt does not fit the window: split it
        ├── BrokenStreamError      the answer ended before its end
        │   └── RepetitionError    the model repeats itself: the connection was closed
        ├── StalledError           no byte came within the allowed silence
        ├── DeadlineError          the time that the user gave is used up
        └── BadReplyError          the answer cannot be read
            └── CutReplyError      it was cut off at its token limit; its complete part is kept

Each message is one sentence about the cause; `hint` is the next step.
"""

LARGER_WINDOW = "Give the model a larger window (num_ctx, context length)"


class KiloReviewError(Exception):
    """Base of everything that this program raises on purpose."""

    exit_code = 3

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class UsageError(KiloReviewError):
    """The request itself is wrong; nothing was looked at."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown, malformed, or may not come from where it stands."""


class TargetError(UsageError):
    """What was asked to be reviewed does not exist here."""


class SourceError(KiloReviewError):
    """Git is missing, refused, or failed."""


class DiffMismatchError(SourceError):
    """The parsed change differs from git's own counts."""


class ForgeError(KiloReviewError):
    """A forge could not be asked, or did not do what it was asked for."""


class RefusedPlaceError(ForgeError):
    """The forge takes no comment on a line."""


class MissingError(ForgeError):
    """The forge has no such thing, or no such function."""


class UnsureError(ForgeError):
    """Something was sent to be written, and it is not known whether it was."""


class ModelError(KiloReviewError):
    """The model could not be asked, or did not answer."""


class UnreachableError(ModelError):
    """Nothing accepts connections at the server's address."""


class NotLocalError(ModelError):
    """The server or the model is not on this machine."""


class WrongServerError(ModelError):
    """The address answers with something else than the expected interface."""


class ModelNotFoundError(ModelError):
    """The model is not installed, or none is loaded."""


class ServerBusyError(ModelError):
    """The server's queue is full or it is still loading."""


class ServerFailedError(ModelError):
    """The server reported a failure of its own."""


class CrashedError(ServerFailedError):
    """The model's process died, or the model was taken out of memory, in the middle of the request."""


class SchemaRejectedError(ModelError):
    """The server could not compile the reply schema."""


class PromptTooLongError(ModelError):
    """The prompt exceeds the window.

    Attributes:
        prompt_tokens: what the server counted, or None.
        window: what the server has, in tokens, or None.
    """

    def __init__(
        self, message: str, *, prompt_tokens: int | None = None, window: int | None = None, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.prompt_tokens = prompt_tokens
        self.window = window


class BrokenStreamError(ModelError):
    """The answer ended without its terminal marker."""


class RepetitionError(BrokenStreamError):
    """The answer had begun to repeat itself, and was not read to its end."""


class StalledError(ModelError):
    """The server fell silent for longer than allowed."""


class DeadlineError(ModelError):
    """`--max-seconds` is used up."""


class BadReplyError(ModelError):
    """The model answered something that is not a list of findings."""

    def __init__(self, message: str, *, hint: str = "Another model may do better (docs/models.md)") -> None:
        super().__init__(message, hint=hint)


class CutReplyError(BadReplyError):
    """The answer hit its token limit.

    Attributes:
        text: what there is of it.
    """

    def __init__(self, message: str, *, text: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.text = text
