"""Gitea and Forgejo.

A comment on a line is a part of a review; a conversation is all comments on one line. Gitea closes conversations since
1.26 (go-gitea/gitea#36441); where that is not there, a comment that nobody has answered is deleted instead.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kilo_review.core.errors import ForgeError, MissingError, RefusedPlaceError
from kilo_review.forge import marks
from kilo_review.forge.base import Draft, Place, Remark, Spot, Standing, Summary
from kilo_review.forge.client import Patience, Wire
from kilo_review.forge.facts import number, text

if TYPE_CHECKING:
    from collections.abc import Sequence

SCOPES = "The token needs the scopes write:repository, write:issue and read:user"
REFUSED = (400, 422, 500)
"""It answers 500 to a line or a file that it does not find."""
PAGE = 50


class Gitea:
    """See `base.Forge`."""

    name = "Gitea"
    longest = 65_000
    takes_bundles = True

    def __init__(self, place: Place, patience: Patience) -> None:
        self.place = place
        self._wire = Wire(self.name, place, {"Authorization": f"token {place.token}"}, SCOPES, patience)
        self._repository = f"/repos/{place.repository}"
        self._pull = f"{self._repository}/pulls/{place.number}"
        self._comments = f"{self._repository}/issues/comments"
        self._user = ""
        self._open: defaultdict[str, set[str]] = defaultdict(set)
        """By conversation, ids of comments of ours that are not settled."""

    def close(self) -> None:
        """See `base.Forge`."""
        self._wire.close()

    def standing(self) -> Standing:
        """See `base.Forge`."""
        found = self._wire.one(self._pull, "state")
        return Standing(text(found, "head", "sha"), text(found, "state") == "open")

    def remarks(self) -> list[Remark]:
        """See `base.Forge`."""
        conversations: defaultdict[tuple[str, int, int], list[dict[str, Any]]] = defaultdict(list)
        for review in self._reviews():
            if number(review, "comments_count"):
                path = f"{self._pull}/reviews/{text(review, 'id')}/comments"
                for comment in self._wire.pages(path, size=PAGE, parameter="limit"):
                    lines = number(comment, "position"), number(comment, "original_position")
                    conversations[(text(comment, "path"), *lines)].append(comment)
        found = (_remark(comment, talk, self._me()) for talk in conversations.values() for comment in talk)
        remarks = [remark for remark in found if remark is not None]
        self._open.clear()
        for remark in remarks:
            if not remark.is_settled:
                self._open[remark.thread].add(remark.id)
        return remarks

    def summaries(self) -> list[Summary]:
        """See `base.Forge`."""
        path = f"{self._repository}/issues/{self.place.number}/comments"
        listed = self._wire.pages(path, size=PAGE, parameter="limit")
        ours = [each for each in listed if text(each, "user", "id") == self._me()]
        found = ((each, marks.of_summary(text(each, "body"))) for each in ours)
        return [Summary(text(each, "id"), text(each, "body"), *mark) for each, mark in found if mark]

    def create(self, drafts: Sequence[Draft]) -> None:
        """See `base.Forge`. Of a review that is refused, what came before the fault waits unsent: it is taken back.

        A review that a person has begun as the same user would be sent along, so there is none beside it.
        """
        if self._take_back():
            raise RefusedPlaceError("a review that the token's user has begun waits on Gitea, and would be sent along")
        comments = [_comment(draft) for draft in drafts]
        body = {"commit_id": self.place.head, "event": "COMMENT", "body": "", "comments": comments}
        answer = self._wire.send("POST", f"{self._pull}/reviews", body, accept=REFUSED)
        if answer.status in REFUSED:
            self._take_back()
            raise RefusedPlaceError(f"Gitea takes no comment there ({self._wire.said(answer)})")

    def update(self, remark: Remark, body: str) -> None:
        """See `base.Forge`."""
        self._wire.send("PATCH", f"{self._comments}/{remark.id}", {"body": body})

    def resolve(self, remark: Remark, body: str) -> str:
        """See `base.Forge`. All comments on one line are one conversation: it is closed with the last of ours."""
        others = self._open[remark.thread]
        others.discard(remark.id)
        if others:
            self.update(remark, body)
            return ""
        path = f"{self._repository}/pulls/comments/{remark.id}/resolve"
        try:
            self._wire.send("POST", path, is_repeatable=True)
        except MissingError:
            with suppress(MissingError):  # somebody else was faster
                self._wire.send("DELETE", f"{self._comments}/{remark.id}")
            return ""
        except ForgeError as error:
            self.update(remark, body)
            return f"comments are marked as no longer found, but not closed: {error}"
        self.update(remark, body)
        return ""

    def reopen(self, remark: Remark, body: str) -> str:
        """See `base.Forge`."""
        self.update(remark, body)
        if remark.is_resolved:
            path = f"{self._repository}/pulls/comments/{remark.id}/unresolve"
            try:
                self._wire.send("POST", path, is_repeatable=True)
            except ForgeError as error:
                return f"comments are marked as found again, but stay closed: {error}"
        return ""

    def summarise(self, body: str, summary: Summary | None) -> None:
        """See `base.Forge`."""
        if summary is None:
            self._wire.send("POST", f"{self._repository}/issues/{self.place.number}/comments", {"body": body})
        else:
            self._wire.send("PATCH", f"{self._comments}/{summary.id}", {"body": body})

    def remove(self, summary: Summary) -> None:
        """See `base.Forge`."""
        self._wire.send("DELETE", f"{self._comments}/{summary.id}")

    def fence(self, spot: Spot) -> str:  # noqa: ARG002  see `base.Forge`
        """See `base.Forge`. It applies nothing."""
        return ""

    def _reviews(self) -> list[dict[str, Any]]:
        return self._wire.pages(f"{self._pull}/reviews", size=PAGE, parameter="limit")

    def _take_back(self) -> bool:
        """Delete what is ours of reviews that were not sent; whether a person has begun one as the same user."""
        is_shared = False
        for review in self._reviews():
            if text(review, "state") != "PENDING" or text(review, "user", "id") != self._me():
                continue
            path = f"{self._pull}/reviews/{text(review, 'id')}"
            comments = self._wire.pages(f"{path}/comments", size=PAGE, parameter="limit")
            ours = [each for each in comments if marks.of_remark(text(each, "body"))]
            if len(ours) == len(comments) and not text(review, "body"):
                self._wire.send("DELETE", path)
                continue
            is_shared = True
            for comment in ours:
                self._wire.send("DELETE", f"{self._comments}/{text(comment, 'id')}")
        return is_shared

    def _me(self) -> str:
        """The number of the token's user; of a job's own token it is -2."""
        if not self._user:
            self._user = text(self._wire.get("/user"), "id")
            if not self._user:
                raise ForgeError("Gitea does not tell whose token this is", hint=SCOPES)
        return self._user


def _remark(comment: dict[str, Any], talk: list[dict[str, Any]], user: str) -> Remark | None:
    if text(comment, "user", "id") != user:
        return None
    body = text(comment, "body")
    mark = marks.of_remark(body)
    if mark is None:
        return None
    return Remark(
        id=text(comment, "id"),
        fingerprint=mark.fingerprint,
        path=text(comment, "path"),
        line=number(comment, "position") or number(comment, "original_position"),
        is_resolved=any(text(each, "resolver", "id") for each in talk),
        is_settled=mark.is_settled,
        has_reply=any(text(each, "user", "id") != user for each in talk),
        body=body,
        thread=text(talk[0], "id"),
    )


def _comment(draft: Draft) -> dict[str, Any]:
    side = "old_position" if draft.spot.is_left else "new_position"
    return {"path": draft.spot.path, side: draft.spot.line, "body": draft.body}
