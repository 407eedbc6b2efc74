"""One repository: its contents, and snapshots of what would be committed."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import SourceError
from kilo_review.source.commits import Commits, oid_in
from kilo_review.source.git import REACHING, drained, end
from kilo_review.source.git_errors import explain, too_slow
from kilo_review.source.scratch import Scratch
from kilo_review.source.unread import add_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kilo_review.core.outcome import Entry

DIFF_FLAGS = (
    *("-r", "-z", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv"),
    *("--no-relative", "--src-prefix=a/", "--dst-prefix=b/", "--submodule=short", "--ignore-submodules=none"),
    *("--diff-algorithm=histogram", "--indent-heuristic", "-M50%", "-l1000"),
)
PATCH_FLAGS = ("-p", "-U3", "--inter-hunk-context=0")
"""Only where a patch is wanted: a context length alone asks for one."""
START_BYTES = 65536
"""Enough of a file to tell whether it is binary, generated or minified."""
YOUNGER_THAN_ANY_FILE = 2**31 - 1
"""A time that every file system can keep."""
FETCH_SECONDS = 300.0
"""A remote that does not answer must not hold a pipeline."""
LONGEST_PATTERN = 1000
"""Characters of a line that is looked for; more would not tell it from others any better."""


class Repository(Commits):
    """One repository, and optionally a private index and object folder laid over it.

    Use it as a context manager: it owns a `cat-file` process and, after a snapshot, a temporary folder.
    """

    def __init__(self, directory: Path, deadline: Deadline | None = None) -> None:
        super().__init__(directory, deadline)
        self._temporary: Scratch | None = None
        self._blobs: Any = None
        self._last_blob: tuple[str, bytes] = ("", b"")
        self._index_tree = ""  # the tree that our private index holds
        self._index_seen: tuple[int, ...] = ()
        self._top: Path | None = None  # the checkout's, once git stands apart from it

    def close(self) -> None:
        """End the `cat-file` process and remove the temporary folder."""
        super().close()
        self._end_blobs()
        if self._temporary is not None:
            self._temporary.close()
            self._temporary = None

    def _end_blobs(self) -> None:
        if self._blobs is not None:
            with suppress(OSError):  # a question that the deadline left unwritten: there is nobody to read it
                self._blobs.stdin.close()
            end(self._blobs)
            self._blobs = None

    # For CI

    def merged_tree(self, one: str, other: str) -> str | None:
        """The tree of a merge of two commits; None if it has conflicts, or git (before 2.38) cannot tell.

        The new tree goes into our own object folder. No attribute of the checkout says how lines are merged.
        """
        folder = self._lay_over(copy_index=False).with_name("empty")
        folder.mkdir(exist_ok=True)
        apart = ("-C", str(folder), f"--git-dir={self.layout.git_dir}", f"--work-tree={folder}")
        status, output = self.status(*apart, "merge-tree", "--write-tree", "--no-messages", one, other)
        return oid_in(output.split(b"\n")[0]) if status == 0 else None

    def stand_apart(self, tree: str) -> None:
        """Have git heed the attributes of a tree, and look at nothing in the checkout from now on.

        Git reads `.gitattributes` in its working tree, or else in the index: so it gets an empty working tree, and
        an index of this tree (`git --attr-source` does the same, but is not there before 2.41).
        """
        folder = self._lay_over(copy_index=False).with_name("empty")
        folder.mkdir(exist_ok=True)
        self.run("read-tree", tree)
        self._index_tree = tree
        self._top = self.top()
        self._environment = self._environment | {"GIT_DIR": str(self.layout.git_dir), "GIT_WORK_TREE": str(folder)}
        self.work_in(folder)

    def fetch(self, *words: str) -> None:
        """Fetch from a remote, for whoever has been allowed to.

        Raises:
            SourceError: it cannot be fetched.
        """
        assert not self._overlay, "what is fetched belongs into the clone, not into our own folder"
        own = ("--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-gc", "--quiet")
        self._ask_remote("fetch", *own, *words)

    def remote_references(self, remote: str, name: str) -> dict[str, str]:
        """Ask a remote for what ends in a name: full name → id, or → `ref: ` and a name for what stands for another.

        Raises:
            SourceError: it cannot be asked.
        """
        output = self._ask_remote("ls-remote", "--symref", "--", remote, name).decode("utf-8", "surrogateescape")
        rows = [row.partition("\t") for row in output.split("\n") if row]
        return {called: value for value, _, called in reversed(rows)}  # of HEAD the name comes first, then the id

    def _ask_remote(self, *words: str) -> bytes:
        whole = self.deadline
        self.deadline = (whole or Deadline()).within(FETCH_SECONDS)
        try:
            return self.run(*words)
        finally:
            self.deadline = whole

    def reach_the_remote(self) -> None:
        """Let git fetch, also what a partial clone lacks, for whoever has been allowed to."""
        own = os.environ.get("GIT_ALLOW_PROTOCOL")
        self._environment = self._environment | REACHING | ({"GIT_ALLOW_PROTOCOL": own} if own else {})

    # Snapshots

    def snapshot_index(self) -> str:
        """The tree that `git commit` would record now.

        Works on a copy of the index, in an object folder of its own: it takes no lock, leaves nothing
        behind and needs no right to write in the repository.
        """
        self._index_seen = self._index_signature()
        _settle(self._lay_over(copy_index=True))
        self._index_tree = oid_in(self.run("write-tree"))
        return self._index_tree

    def index_since(self) -> str | None:
        """The tree that `git commit` would record now, if the index has changed since its snapshot; else None."""
        if self._index_signature() == self._index_seen:
            return None
        before, after = self._index_tree, self.snapshot_index()
        return after if after != before else None

    def _index_signature(self) -> tuple[int, ...]:
        try:
            about = self.layout.index_file.stat()
        except OSError:
            return ()
        return about.st_ino, about.st_size, about.st_mtime_ns

    def snapshot_worktree(self, paths: tuple[str, ...] = ()) -> tuple[str, tuple[Entry, ...]]:
        """The tree that `git add --all` and then `git commit` would record now, and rows for what git cannot add.

        Args:
            paths: git pathspecs; only what they match gets a row.
        """
        self._lay_over(copy_index=True)
        left_out = add_all(self, paths, self._temporary_exclusion())
        self._index_tree = oid_in(self.run("write-tree"))
        return self._index_tree, left_out

    def _temporary_exclusion(self) -> tuple[str, ...]:
        """A pathspec for our own folder, which lies in the worktree if TMPDIR does."""
        top = str(self.top())
        assert self._temporary
        ours, worktree = self._temporary.path.resolve(), Path(top).resolve()
        if not ours.is_relative_to(worktree):
            return ()
        return (f":(exclude,top,literal){ours.relative_to(worktree)}",)

    def _lay_over(self, *, copy_index: bool) -> Path:
        if self._temporary is None:
            self._temporary = Scratch()
        index, objects = self._temporary.path / "index", self._temporary.path / "objects"
        objects.mkdir(exist_ok=True)
        if copy_index and self.layout.index_file.exists():
            # With its time: by it git knows which files may have changed in the second of their staging.
            shutil.copy2(self.layout.index_file, index)
        others = [_quoted(str(self.layout.objects)), os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES", "")]
        self._overlay = {
            "GIT_INDEX_FILE": str(index),
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(filter(None, others)),
        }
        return index

    # Content

    def diff(
        self, base: str, head: str, paths: tuple[str, ...] = (), flags: tuple[str, ...] = ()
    ) -> tuple[bytes, bytes]:
        """File list and patch of two trees (`--raw -p`), and git's own counts of them (`--numstat`).

        The counts take git as long as the patch, so both are made at the same time.
        """
        trees = (*DIFF_FLAGS, *flags, base, head, "--", *paths)
        counting = self.start(self.command("diff-tree", "--numstat", *trees), as_process=True)
        try:
            patch = self.run("diff-tree", "--raw", *PATCH_FLAGS, *trees)
            errors = drained(counting.stderr)
            counts: bytes = counting.stdout.read()
            status = counting.proc.wait()
        finally:
            end(counting)
        if status < 0:
            raise too_slow("diff-tree")
        if status:
            raise explain("diff-tree", status, b"".join(errors).decode("utf-8", "replace"))
        return patch, counts

    def compared(
        self, pairs: Sequence[tuple[bytes | None, bytes | None]]
    ) -> tuple[list[tuple[str, str]], bytes, bytes]:
        """Compare contents that are in no tree, as text; they are written into our own object folder.

        Args:
            pairs: the old and the new content of each file; None where there is none.

        Returns:
            The blobs' ids ("" where there is none), and what `diff` returns, with the files in this order.
        """
        folder = self._lay_over(copy_index=False).with_name("contents")
        folder.mkdir(exist_ok=True)
        names = []
        for number, content in enumerate(content for pair in pairs for content in pair if content is not None):
            (folder / str(number)).write_bytes(content)
            names.append(f"{number}\n")
        told = self.run(
            "-C", str(folder), "hash-object", "-w", "--no-filters", "--stdin-paths", stdin="".join(names).encode()
        )
        written = iter(told.decode("ascii").split())
        oids = [tuple("" if content is None else next(written) for content in pair) for pair in pairs]
        base, head = (self._flat_tree([pair[side] for pair in oids]) for side in (0, 1))
        self._end_blobs()  # it does not know of our object folder if it was started before that
        return [(old, new) for old, new in oids], *self.diff(base, head, flags=("--text", "--no-renames"))

    def _flat_tree(self, oids: Sequence[str]) -> str:
        """Write a tree of blobs that are named by their numbers."""
        rows = (f"100644 blob {oid}\t{number:09}\0" for number, oid in enumerate(oids) if oid)
        return oid_in(self.run("mktree", "-z", stdin="".join(rows).encode()))

    def blob(self, oid: str) -> bytes:
        """One blob's bytes.

        Raises:
            SourceError: the object is not here (a partial or damaged clone).
        """
        if self._last_blob[0] != oid:
            self._last_blob = (oid, self._ask_blob(oid, None))
        return self._last_blob[1]

    def file_in(self, tree: str, path: str) -> bytes | None:
        """A file's content in a tree; None where it is not there, or has a name that cannot be asked for."""
        raw = path.encode("utf-8", "surrogateescape")
        kind, size = (b"missing", 0) if b"\n" in raw else self._ask(tree.encode() + b":" + raw)
        if kind == b"missing":
            return None
        content = self._answered(size)
        return content if kind == b"blob" else None

    def holds(self, tree: str, code: str, *, but_for: str = "") -> bool:
        """Whether any file of a tree has a line of this code, however it is spaced.

        Args:
            tree: its id.
            code: a line; U+FFFD stands for bytes that are not UTF-8.
            but_for: a file, from the top, that does not count, such as one that quotes the code.
        """
        places = (":(top)", f":(top,exclude,literal){but_for}") if but_for else (":(top)",)
        status, _ = self.status(
            *("grep", "--quiet", "--extended-regexp", "--text", "-e", _pattern(code), tree, "--", *places)
        )
        if status > 1:
            raise SourceError(f"git grep failed with status {status}")
        return status == 0

    def count(self, tree: str, code: str) -> int:
        """Return in how many files of a tree a line of this code stands, however it is spaced."""
        words = (
            "--files-with-matches",
            "-z",
            "--extended-regexp",
            "--text",
            "-e",
            _pattern(code),
            tree,
            "--",
            ":(top)",
        )
        status, output = self.status("grep", *words)
        if status > 1:
            raise SourceError(f"git grep failed with status {status}")
        return output.count(b"\0")

    def inside(self, path: Path) -> str:
        """A path from the top of the working tree; "" for one that is not below it."""
        top, real = Path(os.path.realpath(self.top())), Path(os.path.realpath(path))
        return real.relative_to(top).as_posix() if real.is_relative_to(top) else ""

    def accepts(self, patch: bytes) -> bool:
        """Whether a patch applies to the working tree as it is; nothing is applied."""
        try:
            self.run("-C", str(self.top()), "apply", "--check", "-", stdin=patch)
        except SourceError:
            return False
        return True

    def top(self) -> Path:
        """The top of the working tree.

        Raises:
            SourceError: there is none.
        """
        return (
            self._top
            or self.layout.top
            or Path(os.fsdecode(self.run("rev-parse", "--show-toplevel").removesuffix(b"\n")))
        )

    def blob_start(self, oid: str) -> bytes:
        """The first 64 KiB of a blob, without holding the rest in memory; raises as `blob` does."""
        if self._last_blob[0] == oid:
            return self._last_blob[1][:START_BYTES]
        content = self._ask_blob(oid, START_BYTES)
        if len(content) < START_BYTES:
            self._last_blob = (oid, content)
        return content

    def _ask_blob(self, oid: str, limit: int | None) -> bytes:
        kind, size = self._ask(oid.encode())
        if kind != b"blob":
            raise SourceError(
                f"git has no content for object {oid}",
                hint="In a partial clone, fetch it first (git fetch --refetch)",
            )
        return self._answered(size, limit)

    def _ask(self, name: bytes) -> tuple[bytes, int]:
        """Type and size of an object by `cat-file --batch`, which writes its content next; ("missing", 0) if none."""
        process = self._blob_process()
        try:
            process.stdin.write(name + b"\n")
            process.stdin.flush()
        except OSError:
            raise self._gone("cat-file", process) from None
        header = process.stdout.readline()
        if not header:
            raise self._gone("cat-file", process)
        if header.endswith((b" missing\n", b" ambiguous\n")):
            return b"missing", 0
        _, kind, size = header.split()
        return kind, int(size)

    def _answered(self, size: int, limit: int | None = None) -> bytes:
        """The content that follows a header, or its first `limit` bytes; the rest is read and dropped."""
        process = self._blob_process()
        content: bytes = process.stdout.read(size if limit is None else min(size, limit))
        rest = size - len(content) + 1  # git ends each answer with a line break
        while rest > 0 and (piece := process.stdout.read(min(rest, START_BYTES))):
            rest -= len(piece)
        if rest:
            raise SourceError("git stopped in the middle of an object")
        return content

    def _gone(self, command: str, process: Any) -> SourceError:  # noqa: ANN401
        """Why a child has ended: by the deadline's hand, or by its own."""
        status = process.proc.wait()
        return too_slow(command) if status < 0 else SourceError(f"git {command} ended with status {status}")

    def _blob_process(self) -> Any:  # noqa: ANN401  GitPython's AutoInterrupt types neither stream
        if self._blobs is None:
            self._blobs = self.start(self.command("cat-file", "--batch"), istream=subprocess.PIPE, as_process=True)
            drained(self._blobs.stderr)
        return self._blobs

    def attributes(self, tree: str, paths: Iterable[str], names: tuple[str, ...]) -> dict[str, dict[str, str]]:
        """Attributes of paths as the `.gitattributes` files in `tree` (and the user's own) say.

        Returns:
            For each path, the attributes that are specified: `set`, `unset` or a value.
        """
        wanted = list(paths)
        if not wanted:
            return {}
        if self._index_tree != tree:
            self._lay_over(copy_index=False)
            self.run("read-tree", tree)
            self._index_tree = tree
        # Not os.fsencode: paths were decoded as UTF-8, whatever the locale is.
        stdin = b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in wanted)
        output = self.run("check-attr", "-z", "--stdin", "--cached", *names, stdin=stdin)
        fields = output.decode("utf-8", "surrogateescape").split("\0")
        found: dict[str, dict[str, str]] = {}
        for path, name, value in zip(fields[0::3], fields[1::3], fields[2::3], strict=False):
            if value != "unspecified":
                found.setdefault(path, {})[name] = value
        return found


def _settle(index: Path) -> None:
    """Have git take an index as it is, without a look at the files.

    Even `write-tree` looks into those that changed in the second of their staging, through whatever filters the
    repository's configuration names. The tree does not depend on it.
    """
    if index.exists():
        os.utime(index, (YOUNGER_THAN_ANY_FILE, YOUNGER_THAN_ANY_FILE))


def _pattern(code: str) -> str:
    """A whole line of this code for `git grep -E` in the C locale, with blanks anywhere."""
    letters = "".join(code.split())
    gap, end = "[[:space:]]*", "$" if len(letters) <= LONGEST_PATTERN else ""
    escaped = (
        "[^ -~]+" if letter == "\ufffd" else f"\\{letter}" if letter in ".[]()*+?{}|^$\\" else letter
        for letter in letters[:LONGEST_PATTERN]
    )
    return f"^{gap}{gap.join(escaped)}{gap if end else ''}{end}"


def _quoted(path: str) -> str:
    """A path for GIT_ALTERNATE_OBJECT_DIRECTORIES, which splits at colons unless quoted."""
    if os.pathsep not in path and not path.startswith('"'):
        return path
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
