"""What a forge is to us: a place with a pull or merge request, and comments of ours on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.core.finding import Finding


@dataclass(frozen=True, slots=True)
class Place:
    """One pull or merge request, and how to get at it.

    Attributes:
        system: `github`, `gitlab` or `gitea`.
        api: address of the REST interface, without a slash at the end.
        repository: `owner/name`; of GitLab also the project's number.
        number: of the pull or merge request.
        token: sent to `api` and nowhere else; never shown.
        head: the commit that was reviewed.
        base: the commit that it was compared with; "" where nobody knows.
        authority: a file with certificates to trust beside the usual ones; "" for none.
    """

    system: str
    api: str
    repository: str
    number: str
    token: str = field(repr=False)
    head: str
    base: str = ""
    authority: str = ""


class Spot(NamedTuple):
    """Lines of the diff that a forge can put a comment under.

    Attributes:
        path: the new path; of a deleted file its old one.
        old_path: the path before the change.
        start: first line.
        line: last line, where the comment stands.
        is_left: whether the lines are those of the old side.
        old_line: the last line's number on the old side; None for an added one.
        text: the lines as they are.
    """

    path: str
    old_path: str
    start: int
    line: int
    is_left: bool
    old_line: int | None
    text: str


class Draft(NamedTuple):
    """A comment that is to be made."""

    finding: Finding
    spot: Spot
    body: str


class Remark(NamedTuple):
    """A comment of ours that is there.

    Attributes:
        id: the forge's name for the comment.
        fingerprint: of the finding that it tells of.
        path: where it stands.
        line: where it stood when it was made, or stands now.
        is_resolved: whether its thread is closed, by whomever.
        is_settled: whether we have marked it as no longer found.
        has_reply: whether somebody else has written in its thread.
        body: its text.
        thread: the forge's name for its thread, where that is another one.
    """

    id: str
    fingerprint: str
    path: str
    line: int
    is_resolved: bool
    is_settled: bool
    has_reply: bool
    body: str
    thread: str = ""


class Summary(NamedTuple):
    """The comment of ours that is about the change as a whole.

    Attributes:
        id: the forge's name for it.
        body: its text.
        head: the commit that it tells of.
        posted: comments that were made for that commit.
    """

    id: str
    body: str
    head: str
    posted: int


class Standing(NamedTuple):
    """How the pull or merge request stands: its newest commit, and whether it is open."""

    head: str
    is_open: bool


class Forge(Protocol):
    """What can be done on a forge. Each call may raise a `ForgeError`.

    Attributes:
        name: as people know it.
        place: where it is.
        longest: characters of one comment.
        takes_bundles: whether several comments can be made at once, so that people are notified once.
    """

    name: str
    place: Place
    longest: int
    takes_bundles: bool

    def standing(self) -> Standing:
        """How the pull or merge request stands now."""

    def remarks(self) -> list[Remark]:
        """Our comments on lines, resolved ones included."""

    def summaries(self) -> list[Summary]:
        """Our summaries, the oldest first: more than one if two runs met."""

    def create(self, drafts: Sequence[Draft]) -> None:
        """Make comments: all of them, or none.

        Raises:
            RefusedPlaceError: one of them stands where the forge does not want it.
            UnsureError: they may have been made, or not.
        """

    def update(self, remark: Remark, body: str) -> None:
        """Change the text of a comment."""

    def resolve(self, remark: Remark, body: str) -> str:
        """Change the text and close the thread; why the latter could not be, or ""."""

    def reopen(self, remark: Remark, body: str) -> str:
        """The opposite."""

    def summarise(self, body: str, summary: Summary | None) -> None:
        """Make the summary, or change it in place."""

    def remove(self, summary: Summary) -> None:
        """Delete a summary of ours."""

    def fence(self, spot: Spot) -> str:
        """What a code block is opened with so that its content can be applied in place of these lines; "" for never."""

    def close(self) -> None:
        """Close the connection."""
