"""GitLab: its discussions are threads, and tell whether they are closed.

A comment on a line names the commits of the request's newest version, the number of the line on the new side, and for
an unchanged line the one on the old side too (its page "Discussions API").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kilo_review.core.errors import ForgeError, RefusedPlaceError
from kilo_review.forge import marks
from kilo_review.forge.base import Draft, Place, Remark, Spot, Standing, Summary
from kilo_review.forge.client import Patience, Wire
from kilo_review.forge.facts import inside, number, rows, text

if TYPE_CHECKING:
    from collections.abc import Sequence

SCOPES = "The token needs the scope api and a role that may comment, such as Reporter (Developer to close threads)"
REFUSED = (400, 422)
PAGE = 100


class GitLab:
    """See `base.Forge`."""

    name = "GitLab"
    longest = 1_000_000
    takes_bundles = False

    def __init__(self, place: Place, patience: Patience) -> None:
        self.place = place
        self._wire = Wire(self.name, place, {"PRIVATE-TOKEN": place.token}, SCOPES, patience)
        self._request = f"/projects/{quote(place.repository, safe='')}/merge_requests/{place.number}"
        self._version: dict[str, str] = {}
        self._user = ""

    def close(self) -> None:
        """See `base.Forge`."""
        self._wire.close()

    def standing(self) -> Standing:
        """See `base.Forge`."""
        found = self._wire.one(self._request, "state")
        return Standing(text(found, "sha"), text(found, "state") == "opened")

    def remarks(self) -> list[Remark]:
        """See `base.Forge`."""
        found = (_remark(thread, self._me()) for thread in self._threads())
        return [remark for remark in found if remark is not None]

    def summaries(self) -> list[Summary]:
        """See `base.Forge`."""
        notes = [note for thread in self._threads() for note in rows(thread, "notes")[:1]]
        ours = [note for note in notes if text(note, "author", "id") == self._me() and not inside(note, "system")]
        found = ((note, marks.of_summary(text(note, "body"))) for note in ours)
        return [Summary(text(note, "id"), text(note, "body"), *mark) for note, mark in found if mark]

    def create(self, drafts: Sequence[Draft]) -> None:
        """See `base.Forge`."""
        (draft,) = drafts
        body = {"body": draft.body, "position": {**self._commits(), **_position(draft.spot)}}
        answer = self._wire.send("POST", f"{self._request}/discussions", body, accept=REFUSED)
        if answer.status in REFUSED:
            raise RefusedPlaceError(f"GitLab takes no comment there ({self._wire.said(answer)})")

    def update(self, remark: Remark, body: str) -> None:
        """See `base.Forge`."""
        self._wire.send("PUT", f"{self._request}/discussions/{remark.thread}/notes/{remark.id}", {"body": body})

    def resolve(self, remark: Remark, body: str) -> str:
        """See `base.Forge`."""
        return self._set(remark, body, is_resolved=True)

    def reopen(self, remark: Remark, body: str) -> str:
        """See `base.Forge`."""
        return self._set(remark, body, is_resolved=False)

    def summarise(self, body: str, summary: Summary | None) -> None:
        """See `base.Forge`."""
        if summary is None:
            self._wire.send("POST", f"{self._request}/notes", {"body": body})
        else:
            self._wire.send("PUT", f"{self._request}/notes/{summary.id}", {"body": body})

    def remove(self, summary: Summary) -> None:
        """See `base.Forge`."""
        self._wire.send("DELETE", f"{self._request}/notes/{summary.id}")

    def fence(self, spot: Spot) -> str:
        """See `base.Forge`. It says how many lines above the commented one are replaced too, 100 at most."""
        above = spot.line - spot.start
        return "" if spot.is_left or above > PAGE else f"suggestion:-{above}+0"

    def _set(self, remark: Remark, body: str, *, is_resolved: bool) -> str:
        self.update(remark, body)
        try:
            self._wire.send("PUT", f"{self._request}/discussions/{remark.thread}", {"resolved": is_resolved})
        except ForgeError as error:
            return f"threads are marked, but not closed: {error}"
        return ""

    def _threads(self) -> list[dict[str, Any]]:
        return self._wire.pages(f"{self._request}/discussions", size=PAGE, parameter="per_page")

    def _me(self) -> str:
        """The number of the token's user; a project's token has one of its own."""
        if not self._user:
            self._user = text(self._wire.get("/user"), "id")
            if not self._user:
                raise ForgeError("GitLab does not tell whose token this is", hint=SCOPES)
        return self._user

    def _commits(self) -> dict[str, str]:
        """The three commits of the version of the request that was reviewed."""
        if not self._version:
            found = self._wire.get(f"{self._request}/versions", per_page=PAGE)
            versions = [each for each in rows({"all": found}, "all") if text(each, "head_commit_sha")]
            newest = next((each for each in versions if text(each, "head_commit_sha") == self.place.head), None)
            if newest is None:
                raise ForgeError("GitLab has no version of the merge request for the commit that was reviewed")
            self._version = {f"{each}_sha": text(newest, f"{each}_commit_sha") for each in ("base", "start", "head")}
        return self._version


def _remark(thread: dict[str, Any], user: str) -> Remark | None:
    """A thread on a line that begins with a note of ours."""
    notes = [note for note in rows(thread, "notes") if inside(note, "system") is not True]
    if not notes or text(notes[0], "author", "id") != user:
        return None
    body = text(notes[0], "body")
    mark = marks.of_remark(body)
    if mark is None:
        return None
    position = inside(notes[0], "position")
    return Remark(
        id=text(notes[0], "id"),
        fingerprint=mark.fingerprint,
        path=text(position, "new_path") or text(position, "old_path"),
        line=number(position, "new_line") or number(position, "old_line"),
        is_resolved=inside(notes[0], "resolved") is True,
        is_settled=mark.is_settled,
        has_reply=any(text(note, "author", "id") != user for note in notes),
        body=body,
        thread=text(thread, "id"),
    )


def _position(spot: Spot) -> dict[str, Any]:
    where: dict[str, Any] = {"position_type": "text", "old_path": spot.old_path, "new_path": spot.path}
    if not spot.is_left:
        where["new_line"] = spot.line
    if spot.old_line is not None:
        where["old_line"] = spot.old_line
    return where
