"""What a repository records, by object ids: commits, trees, and where it keeps them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kilo_review.core.errors import SourceError
from kilo_review.source.diff import decode_path
from kilo_review.source.layout import Located

if TYPE_CHECKING:
    from collections.abc import Iterable

_HEX = r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z"


class Commits(Located):
    """Questions about commits and trees."""

    def commit(self, revision: str) -> str | None:
        """The id of the commit that a user's word names, or None. The word never becomes an option."""
        return self._named(revision, "^{commit}")

    def commits_of(self, oids: Iterable[str]) -> dict[str, str]:
        """Return the commits that ids name, behind all tags of them; asked all at once. Others are left out."""
        wanted = list(dict.fromkeys(oid for oid in oids if re.fullmatch(_HEX, oid)))
        if not wanted:
            return {}
        stdin = "".join(f"{oid}^{{commit}}\n" for oid in wanted).encode("ascii")
        output = self.run("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=stdin).decode("ascii")
        told = zip(wanted, output.split("\n"), strict=False)  # the last row is empty
        return {oid: row.removesuffix(" commit") for oid, row in told if row.endswith(" commit")}

    def object(self, revision: str) -> str | None:
        """The id of what a user's word names, be it a commit or not, or None."""
        return self._named(revision, "^{object}")

    def _named(self, revision: str, kind: str) -> str | None:
        if revision.startswith(("-", "^")) or not revision.strip() or min(revision) < " ":
            return None
        status, output = self.status("rev-parse", "--verify", "-q", "--end-of-options", revision + kind)
        return oid_in(output) if status == 0 else None

    def commit_by_id(self, oid: str) -> str | None:
        """The commit of an id, or of the first digits of one, or None. No reference is taken for it."""
        if len(oid) == self.layout.hex_digits:  # git takes nothing else for it
            return self.commit(oid)
        found = self.run("rev-parse", f"--disambiguate={oid}").decode("ascii").split()
        commits = {commit for each in found if (commit := self.commit(each)) == each}
        return commits.pop() if len(commits) == 1 else None

    def is_reference(self, name: str) -> bool:
        """Whether git takes this for the full name of a reference."""
        if not name.startswith("refs/") or "\0" in name:
            return False
        return self.status("check-ref-format", name)[0] == 0

    def kind(self, oid: str) -> str:
        """What an id names, behind all tags of tags: `commit`, `tree` or `blob`; "" for what cannot be read."""
        status, output = self.status("cat-file", "-t", f"{oid}^{{}}")
        return output.decode("ascii").strip() if status == 0 else ""

    def tree(self, commit: str | None) -> str:
        """The tree id of a commit, or of nothing at all (in this repository's hash)."""
        if commit is None:
            return oid_in(self.run("hash-object", "-t", "tree", "--stdin", stdin=b""))
        return oid_in(self.run("rev-parse", "--verify", "--end-of-options", commit + "^{tree}"))

    def head_tree(self) -> str:
        """The tree of HEAD; before the first commit, the empty tree."""
        status, output = self.status("rev-parse", "--verify", "-q", "--end-of-options", "HEAD^{tree}")
        if status == 0:
            return oid_in(output)
        if self.status("rev-parse", "--verify", "-q", "HEAD")[0] == 0:
            raise SourceError("HEAD names a commit that git cannot read", hint="git fsck tells what is damaged")
        return self.tree(None)

    def head(self) -> str | None:
        """The commit that HEAD names, or None before the first commit."""
        return self.commit("HEAD")

    def trees(self, commits: list[str]) -> dict[str, str]:
        """Commit id → tree id, of many commits by one process.

        Raises:
            SourceError: one of them is not here.
        """
        if not commits:
            return {}
        asked = "".join(f"{commit}^{{tree}}\n" for commit in commits)
        lines = self.run("cat-file", "--batch-check=%(objectname)", stdin=asked.encode()).split(b"\n")
        return {commit: oid_in(line) for commit, line in zip(commits, lines, strict=False)}

    def shallow_commits(self) -> set[str]:
        """The commits at the edge of a shallow clone, whose parents are not here."""
        if not self.is_shallow_now():
            return set()
        return set((self.layout.common_dir / "shallow").read_text(encoding="ascii").split())

    def merge_base(self, one: str, *others: str) -> str | None:
        """The best common ancestor of one commit and a merge of the others, or None."""
        status, output = self.status("merge-base", one, *others)
        return oid_in(output.split(b"\n")[0]) if status == 0 else None

    def merge_bases(self, one: str, other: str) -> list[str]:
        """Every best common ancestor of two commits; several if they were merged crosswise."""
        status, output = self.status("merge-base", "--all", one, other)
        return output.decode("ascii").split() if status == 0 else []

    def knows_where_they_part(self, one: str, other: str) -> bool:
        """Whether the best common ancestors are here, and no better one can lie where a shallow clone is cut."""
        bases = self.merge_bases(one, other)
        edge = self.shallow_commits()
        if not bases or not edge:
            return bool(bases)
        since = self.run("rev-list", one, other, "--not", *bases).decode("ascii").split()
        return edge.isdisjoint(since)

    def listing(self, tree: str, paths: tuple[str, ...]) -> list[tuple[str, str, str]]:
        """Path, mode and id of the files of a tree that are named, or lie below a folder that is named."""
        if not paths:
            return []
        output = self.run("ls-tree", "-r", "-z", "--full-tree", tree, "--", *paths)
        rows = [row.partition(b"\t") for row in output.split(b"\0") if row]
        found = [(decode_path(path), *about.decode("ascii").split()) for about, _, path in rows]
        return [(path, mode, oid) for path, mode, kind, oid in found if kind == "blob"]

    def mode_of(self, tree: str, path: str) -> str:
        """Six octal digits of a tree's entry; "" where there is none."""
        return self.run("ls-tree", "-z", "--full-tree", tree, "--", path)[:6].decode("ascii")

    def is_shallow_now(self) -> bool:
        """Whether the clone lacks history, after whatever has been fetched since it was opened."""
        return (self.layout.common_dir / "shallow").exists()

    def parents(self, commit: str) -> list[str]:
        """Parents as the commit object names them, whether or not a shallow clone has them."""
        header = self.run("cat-file", "commit", commit).split(b"\n\n", 1)[0]
        return [line[7:].decode() for line in header.split(b"\n") if line.startswith(b"parent ")]

    def refs(self, prefix: str) -> list[str]:
        """Commit ids of all references below `prefix`."""
        output = self.run("for-each-ref", "--format=%(objectname)", prefix)
        return output.decode().split()

    def is_pushed_where_it_is_fetched(self, remote: str) -> bool:
        """Tell whether git pushes to the address of a remote that it fetches from, with all rewriting of addresses."""
        fetched, pushed = (self.status("remote", "get-url", "--all", *words, remote) for words in ((), ("--push",)))
        return fetched[0] == pushed[0] == 0 and fetched[1] == pushed[1] and fetched[1].count(b"\n") == 1

    def remotes(self) -> dict[str, set[str]]:
        """Return the remotes of the settings: name → the addresses that are fetched from, as they are written there."""
        status, output = self.status("config", "-z", "--get-regexp", r"^remote\..+\.url$")
        found: dict[str, set[str]] = {}
        for row in output.decode("utf-8", "surrogateescape").split("\0") if status == 0 else ():
            key, _, address = row.partition("\n")
            if key:
                found.setdefault(key.removeprefix("remote.").removesuffix(".url"), set()).add(address)
        return found


def oid_in(output: bytes) -> str:
    """The object id that git answered.

    Raises:
        SourceError: it answered something else.
    """
    text = output.decode("ascii", "replace").strip()
    if not re.match(_HEX, text):
        raise SourceError(f"git answered {text[:80]!r} where an object id was expected")
    return text
