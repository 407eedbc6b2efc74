"""GitHub, also GitHub Enterprise Server.

Comments are made by REST. What is there is read by GraphQL: REST tells neither whether a thread is closed nor, to a
token of a workflow, which comments are its own. Closing a thread is asked of GraphQL too; it needs `contents: write`,
which a job that reads proposals should not have (github/gh-aw#35726). Where that is refused, the comment is minimised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilo_review.core.errors import ForgeError, RefusedPlaceError
from kilo_review.forge import marks
from kilo_review.forge.base import Draft, Place, Remark, Spot, Standing, Summary
from kilo_review.forge.client import AGAIN, MOST_PAGES, Patience, Wire
from kilo_review.forge.facts import inside, number, rows, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VERSION = "2022-11-28"
SCOPES = (
    "The job needs `permissions: pull-requests: write`; a workflow that a fork's pull request starts gets a token that "
    "only reads"
)
REFUSED = 422
NOT_CLOSED = "threads are marked as no longer found, but stay open: closing them needs `contents: write`"

_STANDING = """
query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) { pullRequest(number: $number) { headRefOid state } }
}"""
_THREADS = """
query($owner: String!, $name: String!, $number: Int!, $after: String) {
  viewer { login }
  repository(owner: $owner, name: $name) { pullRequest(number: $number) {
    found: reviewThreads(first: 100, after: $after) {
      pageInfo { hasNextPage endCursor }
      nodes {
        id isResolved path line originalLine
        comments(first: 50) {
          totalCount
          nodes { id fullDatabaseId body viewerDidAuthor author { __typename login } }
        }
      }
    }
  } }
}"""
_COMMENTS = """
query($owner: String!, $name: String!, $number: Int!, $after: String) {
  viewer { login }
  repository(owner: $owner, name: $name) { pullRequest(number: $number) {
    found: comments(first: 100, after: $after) {
      pageInfo { hasNextPage endCursor }
      nodes { fullDatabaseId body viewerDidAuthor author { __typename login } }
    }
  } }
}"""
_RESOLVE = "mutation($id: ID!) { resolveReviewThread(input: {threadId: $id}) { thread { isResolved } } }"
_UNRESOLVE = "mutation($id: ID!) { unresolveReviewThread(input: {threadId: $id}) { thread { isResolved } } }"
_MINIMIZE = (
    "mutation($id: ID!) { minimizeComment(input: {subjectId: $id, classifier: RESOLVED}) "
    "{ minimizedComment { isMinimized } } }"
)
_UNMINIMIZE = "mutation($id: ID!) { unminimizeComment(input: {subjectId: $id}) { unminimizedComment { isMinimized } } }"


class GitHub:
    """See `base.Forge`. The numbers of comments no longer fit into GraphQL's `databaseId`."""

    name = "GitHub"
    longest = 65_536
    takes_bundles = True

    def __init__(self, place: Place, patience: Patience) -> None:
        self.place = place
        headers = {"Authorization": f"Bearer {place.token}", "X-GitHub-Api-Version": VERSION}
        self._wire = Wire(self.name, place, headers, SCOPES, patience)
        api = place.api
        self._graphql = f"{api.removesuffix('/v3')}/graphql" if api.endswith("/api/v3") else f"{api}/graphql"
        self._pull = f"/repos/{place.repository}/pulls"
        self._issues = f"/repos/{place.repository}/issues"

    def close(self) -> None:
        """See `base.Forge`."""
        self._wire.close()

    def standing(self) -> Standing:
        """See `base.Forge`."""
        pull = inside(self._asked(_STANDING, **self._where()), "repository", "pullRequest")
        if not isinstance(pull, dict):
            raise ForgeError(f"GitHub has no pull request {self.place.number}, or hides it", hint=SCOPES)
        return Standing(text(pull, "headRefOid"), text(pull, "state") == "OPEN")

    def remarks(self) -> list[Remark]:
        """See `base.Forge`."""
        return [remark for viewer, node in self._listed(_THREADS) if (remark := _remark(node, viewer)) is not None]

    def summaries(self) -> list[Summary]:
        """See `base.Forge`."""
        ours = (node for viewer, node in self._listed(_COMMENTS) if _is_ours(node, viewer))
        found = ((node, marks.of_summary(text(node, "body"))) for node in ours)
        return [Summary(text(node, "fullDatabaseId"), text(node, "body"), *mark) for node, mark in found if mark]

    def create(self, drafts: Sequence[Draft]) -> None:
        """See `base.Forge`. One review, so that people get one message; it is made whole or not at all."""
        comments = [_comment(draft) for draft in drafts]
        body = {"commit_id": self.place.head, "event": "COMMENT", "comments": comments}
        answer = self._wire.send("POST", f"{self._pull}/{self.place.number}/reviews", body, accept={REFUSED})
        if answer.status == REFUSED:
            raise RefusedPlaceError(f"GitHub takes no comment there ({self._wire.said(answer)})")

    def update(self, remark: Remark, body: str) -> None:
        """See `base.Forge`."""
        self._wire.send("PATCH", f"{self._pull}/comments/{remark.id}", {"body": body})

    def resolve(self, remark: Remark, body: str) -> str:
        """See `base.Forge`."""
        self.update(remark, body)
        thread, _, comment = remark.thread.partition(" ")
        try:
            self._asked(_RESOLVE, id=thread)
        except ForgeError:
            self._tried(_MINIMIZE, comment)
            return NOT_CLOSED
        return ""

    def reopen(self, remark: Remark, body: str) -> str:
        """See `base.Forge`."""
        self.update(remark, body)
        thread, _, comment = remark.thread.partition(" ")
        if remark.is_resolved:
            return self._tried(_UNRESOLVE, thread)
        self._tried(_UNMINIMIZE, comment)
        return ""

    def summarise(self, body: str, summary: Summary | None) -> None:
        """See `base.Forge`."""
        if summary is None:
            self._wire.send("POST", f"{self._issues}/{self.place.number}/comments", {"body": body})
        else:
            self._wire.send("PATCH", f"{self._issues}/comments/{summary.id}", {"body": body})

    def remove(self, summary: Summary) -> None:
        """See `base.Forge`."""
        self._wire.send("DELETE", f"{self._issues}/comments/{summary.id}")

    def fence(self, spot: Spot) -> str:
        """See `base.Forge`. It replaces the lines that the comment stands under."""
        return "" if spot.is_left else "suggestion"

    def _tried(self, mutation: str, subject: str) -> str:
        try:
            self._asked(mutation, id=subject)
        except ForgeError as error:
            return error.message
        return ""

    def _where(self) -> dict[str, Any]:
        owner, _, name = self.place.repository.partition("/")
        return {"owner": owner, "name": name, "number": int(self.place.number)}

    def _listed(self, query: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Our user's name and each row of a listing."""
        after = None
        for _ in range(MOST_PAGES):
            data = self._asked(query, **self._where(), after=after)
            found = inside(data, "repository", "pullRequest", "found")
            yield from ((text(data, "viewer", "login"), node) for node in rows(found, "nodes"))
            if not inside(found, "pageInfo", "hasNextPage"):
                return
            after = text(found, "pageInfo", "endCursor")
        raise ForgeError(f"the pull request has more than {MOST_PAGES} pages of comments", hint="Open a new one")

    def _asked(self, query: str, **variables: Any) -> Any:  # noqa: ANN401  variables as GitHub has them
        """One question to GraphQL, whose errors come with the status 200. None of ours does harm when asked twice."""
        body = {"query": query, "variables": variables}
        answer = self._wire.send("POST", self._graphql, body, is_repeatable=True)
        errors = rows(answer.facts(), "errors")
        if errors:
            kinds = {text(error, "type") for error in errors}
            hint = AGAIN if "RATE_LIMITED" in kinds else SCOPES
            raise ForgeError(f"GitHub did not do what it was asked for ({self._wire.said(answer)})", hint=hint)
        return inside(answer.facts(), "data")


def _remark(thread: dict[str, Any], viewer: str) -> Remark | None:
    """A thread that begins with a comment of ours."""
    comments = rows(thread, "comments", "nodes")
    if not comments or not _is_ours(comments[0], viewer):
        return None
    body = text(comments[0], "body")
    mark = marks.of_remark(body)
    if mark is None:
        return None
    others = sum(not _is_ours(comment, viewer) for comment in comments)
    return Remark(
        id=text(comments[0], "fullDatabaseId"),
        fingerprint=mark.fingerprint,
        path=text(thread, "path"),
        line=number(thread, "line") or number(thread, "originalLine"),
        is_resolved=inside(thread, "isResolved") is True,
        is_settled=mark.is_settled,
        has_reply=bool(others) or number(thread, "comments", "totalCount") > len(comments),
        body=body,
        thread=f"{text(thread, 'id')} {text(comments[0], 'id')}",
    )


def _is_ours(comment: dict[str, Any], viewer: str) -> bool:
    """Whether our user wrote it. As an author a bot has no `[bot]` behind its name, as the viewer it has."""
    if inside(comment, "viewerDidAuthor") is True:
        return True
    is_bot = text(comment, "author", "__typename") == "Bot"
    return is_bot and bool(viewer) and f"{text(comment, 'author', 'login')}[bot]" == viewer


def _comment(draft: Draft) -> dict[str, Any]:
    spot = draft.spot
    side = "LEFT" if spot.is_left else "RIGHT"
    several = {"start_line": spot.start, "start_side": side} if spot.start < spot.line else {}
    return {"path": spot.path, "line": spot.line, "side": side, **several, "body": draft.body}
