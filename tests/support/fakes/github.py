"""A GitHub with one pull request, for a GitHub App's token: the REST and GraphQL that posting needs, and its refusals.

Sources: the REST pages "Pull request reviews", "Pull request review comments", "Issue comments", "Rate limits"; error
texts as quoted in parkerbxyz/suggest-changes#28 and #64, ubuntu/WSL#244 (a start line must precede its end),
github/gh-aw#35726 (closing a thread needs `contents: write`). A review is made whole or not at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.support.fakes.base import Call, Response, as_json
from tests.support.fakes.forge import OURS, READS, THEIRS, FakeForge, body_of, refused

REPOSITORY = "org/tool"
LONGEST = 65_536
FORBIDDEN = "Resource not accessible by integration"
USERS = {OURS: ("Bot", "github-actions"), THEIRS: ("User", "reader"), READS: ("Bot", "github-actions")}


@dataclass(eq=False)
class FakeGitHub(FakeForge):
    """See the module.

    Attributes:
        contents_write: whether our token may close threads.
        threads: those on lines.
        comments: those on the request as a whole.
        reviews: how many were submitted: each is one message to people.
        minimized: node ids of comments that are folded away.
    """

    contents_write: bool = True
    threads: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    reviews: int = 0
    minimized: set[str] = field(default_factory=set)

    def serve(self, call: Call) -> Response:
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in USERS:
            return refused(401, "Bad credentials")
        assert call.headers["user-agent"], "GitHub refuses requests without one"
        if call.path == "/api/graphql":
            return self._graphql(call, token)
        if call.method != "GET" and token == READS:
            return refused(403, FORBIDDEN)
        return self._rest(call, token)

    def reply(self, thread: int, words: str, token: str = THEIRS) -> None:
        """Somebody answers."""
        self.threads[thread]["comments"].append(self._comment(words, token))

    def open_threads(self) -> list[dict[str, Any]]:
        return [thread for thread in self.threads if not thread["isResolved"]]

    def bodies(self) -> list[str]:
        """What the threads begin with."""
        return [thread["comments"][0]["body"] for thread in self.threads]

    def _comment(self, words: str, token: str) -> dict[str, Any]:
        number = (1 << 31) + next(self._numbers)
        kind, login = USERS[token]
        return {
            "id": f"PRRC_{number}",
            "fullDatabaseId": str(number),
            "body": words,
            "author": {"__typename": kind, "login": login},
        }

    def _rest(self, call: Call, token: str) -> Response:
        path = call.path.removeprefix(f"/api/v3/repos/{REPOSITORY}")
        if call.method == "POST" and self.locked:
            return refused(403, "Unable to create comment because issue is locked.")
        if call.method != "DELETE" and len(body_of(call).get("body", "")) > LONGEST:
            return refused(422, "Validation Failed", errors=["body is too long (maximum is 65536 characters)"])
        if (call.method, path) == ("POST", "/pulls/7/reviews"):
            return self._review(body_of(call), token)
        if (call.method, path) == ("POST", "/issues/7/comments"):
            self.comments.append(self._comment(body_of(call)["body"], token))
            return as_json({"id": int(self.comments[-1]["fullDatabaseId"])}, 201)
        if found := re.fullmatch(r"/(pulls|issues)/comments/(\d+)", path):
            return self._one(call, found[1], found[2])
        return refused(404, "Not Found")

    def _one(self, call: Call, kind: str, number: str) -> Response:
        lists = [self.comments] if kind == "issues" else [thread["comments"] for thread in self.threads]
        for comments in lists:
            for comment in comments:
                if comment["fullDatabaseId"] == number and call.method == "PATCH":
                    comment["body"] = body_of(call)["body"]
                    return as_json({"id": number})
                if comment["fullDatabaseId"] == number and call.method == "DELETE":
                    comments.remove(comment)
                    return Response(204)
        return refused(404, "Not Found")

    def _review(self, body: dict[str, Any], token: str) -> Response:
        assert body["event"] == "COMMENT"
        assert body["commit_id"] == self.head
        for comment in body["comments"]:
            if fault := self._misplaced(comment):
                return refused(422, "Unprocessable Entity", errors=[fault])
        for comment in body["comments"]:
            self.threads.append({
                "id": f"PRRT_{next(self._numbers)}",
                "isResolved": False,
                "path": comment["path"],
                "line": comment["line"],
                "originalLine": comment["line"],
                "comments": [self._comment(comment["body"], token)],
            })  # fmt: skip
        self.reviews += 1
        return as_json({"id": next(self._numbers)})

    def _misplaced(self, comment: dict[str, Any]) -> str:
        side = comment["side"]
        assert side in {"LEFT", "RIGHT"}
        shown = {line.old if side == "LEFT" else line.new for line in self.lines(comment["path"])} - {None}
        if comment["line"] not in shown or comment.get("start_line", comment["line"]) not in shown:
            return "Pull request review thread line must be part of the diff"
        if "start_line" in comment and comment["start_line"] >= comment["line"]:
            return "Pull request review thread start line must precede the end line."
        return ""

    # GraphQL

    def _graphql(self, call: Call, token: str) -> Response:
        asked = body_of(call)
        query, variables = asked["query"], asked["variables"]
        if "mutation" in query:
            return self._mutated(query, variables["id"], token)
        assert not re.search(r"\bdatabaseId\b", query), "it overflows"
        assert (variables["owner"], variables["name"], variables["number"]) == ("org", "tool", 7)
        if "headRefOid" in query:
            return _data(pullRequest={"headRefOid": self.head, "state": "OPEN" if self.is_open else "CLOSED"})
        rows = self.threads if "reviewThreads" in query else self.comments
        start = int(variables["after"] or 0)
        nodes = [self._seen(row, token) for row in rows[start : start + self.page]]
        end = start + self.page
        info = {"hasNextPage": end < len(rows), "endCursor": str(end)}
        kind, login = USERS[token]
        viewer = {"login": f"{login}[bot]" if kind == "Bot" else login}
        return _data(viewer, pullRequest={"found": {"pageInfo": info, "nodes": nodes}})

    def _seen(self, row: dict[str, Any], token: str) -> dict[str, Any]:
        if "comments" not in row:
            return {**row, "viewerDidAuthor": row["author"]["login"] == USERS[token][1]}
        seen = [self._seen(each, token) for each in row["comments"][:50]]
        return {**row, "comments": {"totalCount": len(row["comments"]), "nodes": seen}}

    def _mutated(self, query: str, subject: str, token: str) -> Response:
        name = re.search(r"\{ (\w+)\(", query)
        assert name
        if token == READS or ("Thread" in name[1] and not self.contents_write):
            return as_json({"data": {name[1]: None}, "errors": [{"type": "FORBIDDEN", "message": FORBIDDEN}]})
        if name[1] == "minimizeComment":
            self.minimized.add(subject)
        elif name[1] == "unminimizeComment":
            self.minimized.discard(subject)
        else:
            (thread,) = (each for each in self.threads if each["id"] == subject)
            thread["isResolved"] = name[1] == "resolveReviewThread"
        return as_json({"data": {name[1]: {}}})


def _data(viewer: dict[str, str] | None = None, **repository: Any) -> Response:
    return as_json({"data": {"viewer": viewer, "repository": repository}})
