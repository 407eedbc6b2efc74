"""A GitLab with one merge request: discussions, notes, versions, and its refusals.

Sources: its pages "Discussions API", "Notes API", "Merge requests API", "Pagination"; the error about a line is quoted
in jdalrymple/gitbeaker#3433, and what its rules are in gitlab-org/gitlab#35935: an added line has no old number, a removed
one no new number, an unchanged one has both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.support.fakes.base import Call, Response, as_json
from tests.support.fakes.forge import BASE, OURS, READS, THEIRS, FakeForge, body_of, paged, refused, with_headers

REQUEST = "/api/v4/projects/42/merge_requests/7"
LONGEST = 1_000_000
USERS = {OURS: 11, THEIRS: 12, READS: 11}
BAD_LINE = '400 Bad request - Note {:line_code=>["can\'t be blank", "must be a valid line code"]}'


@dataclass(eq=False)
class FakeGitLab(FakeForge):
    """See the module.

    Attributes:
        discussions: threads, and single notes as threads of one.
        may_resolve: whether our token's role may close threads.
    """

    discussions: list[dict[str, Any]] = field(default_factory=list)
    may_resolve: bool = True

    def serve(self, call: Call) -> Response:
        user = USERS.get(call.headers.get("private-token", ""))
        if user is None:
            return refused(401, "401 Unauthorized")
        if call.method != "GET" and call.headers["private-token"] == READS:
            return as_json({"error": "insufficient_scope", "error_description": "needs higher privileges"}, 403)
        if call.path == "/api/v4/user":
            return as_json({"id": user, "username": f"user_{user}"})
        path = call.path.removeprefix(REQUEST)
        return self._read(call, path) if call.method == "GET" else self._write(call, path, user)

    def reply(self, thread: int, words: str, token: str = THEIRS) -> None:
        """Somebody answers."""
        self.threads[thread]["notes"].append(self._note(words, USERS[token], position=None))

    @property
    def threads(self) -> list[dict[str, Any]]:
        return [each for each in self.discussions if not each["individual_note"]]

    @property
    def comments(self) -> list[dict[str, Any]]:
        return [each["notes"][0] for each in self.discussions if each["individual_note"]]

    def open_threads(self) -> list[dict[str, Any]]:
        return [thread for thread in self.threads if not thread["notes"][0]["resolved"]]

    def bodies(self) -> list[str]:
        return [thread["notes"][0]["body"] for thread in self.threads]

    def _note(self, words: str, user: int, position: dict[str, Any] | None) -> dict[str, Any]:
        return {
            "id": next(self._numbers),
            "type": "DiffNote" if position else None,
            "body": words,
            "author": {"id": user, "username": f"user_{user}"},
            "system": False,
            "resolvable": position is not None,
            "resolved": False,
            "position": position,
        }

    def _read(self, call: Call, path: str) -> Response:
        if path == "":
            return as_json({"iid": 7, "sha": self.head, "state": "opened" if self.is_open else "merged"})
        if path == "/versions":
            commits = {"base_commit_sha": BASE, "start_commit_sha": BASE, "head_commit_sha": self.head}
            return as_json([{"id": 1, **commits}])
        if path == "/discussions":
            rows, page, has_more = paged(call, self.discussions, self.page)
            return with_headers(as_json(rows), X_Page=str(page), X_Next_Page=str(page + 1) if has_more else "")
        return refused(404, "404 Not found")

    def _write(self, call: Call, path: str, user: int) -> Response:
        if self.locked and call.method == "POST":
            return refused(403, "403 Forbidden - the discussion is locked")
        if call.method != "DELETE" and len(body_of(call).get("body", "")) > LONGEST:
            return refused(400, "400 Bad request - Note is too long (maximum is 1000000 characters)")
        if call.method == "POST":
            return self._make(path, body_of(call), user)
        if found := re.fullmatch(r"/discussions/(\w+)(?:/notes/(\d+))?", path):
            return self._change(call, found[1], found[2])
        if found := re.fullmatch(r"/notes/(\d+)", path):
            return self._change(call, "", found[1])
        return refused(404, "404 Not found")

    def _make(self, path: str, body: dict[str, Any], user: int) -> Response:
        if path == "/discussions":
            return self._discuss(body, user)
        assert path == "/notes"
        return self._add([self._note(body["body"], user, None)], is_single=True)

    def _discuss(self, body: dict[str, Any], user: int) -> Response:
        place = body["position"]
        commits = (place["base_sha"], place["start_sha"], place["head_sha"])
        assert commits == (BASE, BASE, self.head)
        assert place["position_type"] == "text"
        assert place["old_path"]
        numbers = (place.get("old_line"), place.get("new_line"))
        if numbers not in {(line.old, line.new) for line in self.lines(place["new_path"])}:
            return refused(400, BAD_LINE)
        return self._add([self._note(body["body"], user, place)], is_single=False)

    def _add(self, notes: list[dict[str, Any]], *, is_single: bool) -> Response:
        added = {"id": f"{next(self._numbers):040x}", "individual_note": is_single, "notes": notes}
        self.discussions.append(added)
        return as_json(notes[0] if is_single else added, 201)

    def _resolve(self, call: Call, thread: dict[str, Any]) -> Response:
        if not self.may_resolve:
            return refused(403, "403 Forbidden")
        thread["notes"][0]["resolved"] = body_of(call)["resolved"]
        return as_json(thread)

    def _change(self, call: Call, thread: str, note: str | None) -> Response:
        for each in self.discussions:
            if note is None and each["id"] == thread and call.method == "PUT":
                return self._resolve(call, each)
            for one in each["notes"]:
                if str(one["id"]) == note and thread in {"", each["id"]}:
                    if call.method == "DELETE":
                        self.discussions.remove(each)
                        return Response(204)
                    one["body"] = body_of(call)["body"]
                    return as_json(one)
        return refused(404, "404 Not found")
