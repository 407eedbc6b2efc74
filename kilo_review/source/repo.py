"""Git as a process. The only module that imports GitPython, which is used to run git and for nothing else.

GitPython's object layer is avoided on purpose: it ignores `GIT_INDEX_FILE`, reverses index diffs, and
leaves `cat-file` children behind. Only plumbing is called, with every configuration that could change its
output pinned, and only object ids ever reach a command line.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

from kilo_review.errors import SourceError
from kilo_review.source.faults import MISSING_GIT, explain, too_slow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from git.cmd import Git

    from kilo_review.deadline import Deadline

PINNED_CONFIG = (
    "core.fsmonitor=false",  # a command that git would start, even for `write-tree`
    "core.hooksPath=/dev/null",  # `post-index-change` would run for the private index
    "core.splitIndex=false",  # else a private copy of the index would write shared parts beside the user's
    "splitIndex.sharedIndexExpire=never",  # and delete them
    "core.quotePath=true",
    "core.bigFileThreshold=512m",  # git's default: a lower value hides text files as binary
    "diff.suppressBlankEmpty=false",
)
PINNED_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",  # a partial clone must not reach for the network
    "GIT_NO_REPLACE_OBJECTS": "1",  # the objects that are recorded, not their stand-ins
    # Emptied, since GitPython can set but not remove; git reads "" as unset or false for each of these.
    "GIT_DIFF_OPTS": "",
    "GIT_EXTERNAL_DIFF": "",
    "GIT_LITERAL_PATHSPECS": "",
    "GIT_GLOB_PATHSPECS": "",
    "GIT_NOGLOB_PATHSPECS": "",
    "GIT_ICASE_PATHSPECS": "",
}
DIFF_FLAGS = (
    *("-r", "-z", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv"),
    *("--no-relative", "--src-prefix=a/", "--dst-prefix=b/", "--submodule=short", "--ignore-submodules=none"),
    *("--diff-algorithm=histogram", "--indent-heuristic", "-M50%", "-l1000"),
)
PATCH_FLAGS = ("-p", "-U3", "--inter-hunk-context=0")
"""Only where a patch is wanted: a context length alone asks for one."""
MOST_COMPLAINTS = 100
START_BYTES = 65536
"""Enough of a file to tell whether it is binary, generated or minified."""
_HEX = r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where this repository keeps its things; all paths are absolute."""

    is_bare: bool
    is_shallow: bool
    index: Path
    objects: Path
    git_dir: Path
    common_dir: Path


class Repository:
    """One repository, and optionally a private index and object folder laid over it.

    Use it as a context manager: it owns a `cat-file` process and, after a snapshot, a temporary folder.
    """

    def __init__(self, directory: Path, deadline: Deadline | None = None) -> None:
        runner, self._git_missing = _load_git()
        # GitPython would expand variables in a folder's name, so it is told after that.
        self._git = runner()
        self._git._working_dir = str(directory)  # noqa: SLF001
        self._deadline = deadline
        self._overlay: dict[str, str] = {}
        self._temporary: Path | None = None
        self._blobs: Any = None
        self._watches: list[threading.Timer] = []
        self._last_blob: tuple[str, bytes] = ("", b"")
        traces = {name: "" for name in os.environ if name.startswith("GIT_TRACE")}
        self._environment = PINNED_ENVIRONMENT | traces
        self.layout = self._read_layout()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the `cat-file` process and remove the temporary folder."""
        for watch in self._watches:
            watch.cancel()
        if self._blobs is not None:
            self._blobs.stdin.close()
            _end(self._blobs)
            self._blobs = None
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    # Running git

    def run(self, *arguments: str, stdin: bytes | None = None, ok: tuple[int, ...] = (0,)) -> bytes:
        """Standard output of one git command, exactly as git wrote it.

        Raises:
            SourceError: git is missing, was killed by the deadline, or its status is not in `ok`.
        """
        status, output, errors = self._execute(arguments, stdin)
        if status not in ok:
            raise explain(arguments[0], status, errors)
        return output

    def status(self, *arguments: str) -> tuple[int, bytes]:
        """Exit status and output of a command whose failure is an answer, not an error."""
        status, output, errors = self._execute(arguments, None)
        if status < 0:
            raise too_slow(arguments[0])
        if "dubious ownership" in errors:
            raise explain(arguments[0], status, errors)
        return status, output

    def _execute(self, arguments: tuple[str, ...], stdin: bytes | None) -> tuple[int, bytes, str]:
        command = self._command(*arguments)
        limit = self._deadline.cap(3600.0) if self._deadline and self._deadline.seconds else None
        with _as_file(stdin) as stream:
            # GitPython's overloads do not know that a status, bytes and a text come back.
            result: Any = self._start(
                command,
                istream=stream,
                with_extended_output=True,
                with_exceptions=False,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
                kill_after_timeout=limit,
            )
        status, output, errors = result
        return status, output, errors

    def _command(self, *arguments: str) -> list[str]:
        pinned = (word for setting in PINNED_CONFIG for word in ("-c", setting))
        return [str(self._git.GIT_PYTHON_GIT_EXECUTABLE or "git"), "--no-pager", *pinned, *arguments]

    def _start(self, command: list[str], **how: Any) -> Any:  # noqa: ANN401  GitPython's overloads
        try:
            started = self._git.execute(command, env=self._environment | self._overlay, **how)
        except self._git_missing:
            raise MISSING_GIT from None
        if how.get("as_process") and self._deadline and self._deadline.seconds:
            self._watch(started.proc, self._deadline.cap(3600.0))
        return started

    def _watch(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        """End a child at the deadline; GitPython does so only for those that it waits for itself."""
        watch = threading.Timer(seconds, process.kill)
        watch.daemon = True
        watch.start()
        self._watches.append(watch)

    # Facts

    def _read_layout(self) -> Layout:
        output = self.run(
            *("rev-parse", "--path-format=absolute", "--is-bare-repository", "--is-shallow-repository"),
            *("--git-path", "index", "--git-path", "objects", "--git-dir", "--git-common-dir"),
        )
        lines = os.fsdecode(output).split("\n")[:-1]
        if len(lines) != 6:  # noqa: PLR2004  one line for each of the six questions
            raise SourceError(
                "git describes this repository in a way that cannot be read",
                hint="Is there a line break in its path?",
            )
        bare, shallow, *paths = lines
        index, objects, git_dir, common_dir = map(Path, paths)
        return Layout(bare == "true", shallow == "true", index, objects, git_dir, common_dir)

    def commit(self, revision: str) -> str | None:
        """The id of the commit that a user's word names, or None. The word never becomes an option."""
        if revision.startswith(("-", "^")) or not revision.strip() or min(revision) < " ":
            return None
        status, output = self.status("rev-parse", "--verify", "-q", "--end-of-options", revision + "^{commit}")
        return _oid(output) if status == 0 else None

    def tree(self, commit: str | None) -> str:
        """The tree id of a commit, or of nothing at all (in this repository's hash)."""
        if commit is None:
            return _oid(self.run("hash-object", "-t", "tree", "--stdin", stdin=b""))
        return _oid(self.run("rev-parse", "--verify", "--end-of-options", commit + "^{tree}"))

    def head_tree(self) -> str:
        """The tree of HEAD; before the first commit, the empty tree."""
        status, output = self.status("rev-parse", "--verify", "-q", "--end-of-options", "HEAD^{tree}")
        if status == 0:
            return _oid(output)
        if self.status("rev-parse", "--verify", "-q", "HEAD")[0] == 0:
            raise SourceError("HEAD names a commit that git cannot read", hint="git fsck tells what is damaged")
        return self.tree(None)

    def head(self) -> str | None:
        """The commit that HEAD names, or None before the first commit."""
        return self.commit("HEAD")

    def merge_base(self, one: str, *others: str) -> str | None:
        """The best common ancestor of one commit and a merge of the others, or None."""
        status, output = self.status("merge-base", one, *others)
        return _oid(output.split(b"\n")[0]) if status == 0 else None

    def parents(self, commit: str) -> list[str]:
        """Parents as the commit object names them, whether or not a shallow clone has them."""
        header = self.run("cat-file", "commit", commit).split(b"\n\n", 1)[0]
        return [line[7:].decode() for line in header.split(b"\n") if line.startswith(b"parent ")]

    # Snapshots

    def snapshot_index(self) -> str:
        """The tree that `git commit` would record now.

        Works on a copy of the index, in an object folder of its own: it takes no lock, leaves nothing
        behind and needs no right to write in the repository.
        """
        self._lay_over(copy_index=True)
        return _oid(self.run("write-tree"))

    def snapshot_worktree(self) -> str:
        """The tree that `git add --all` and then `git commit` would record now."""
        self._lay_over(copy_index=True)
        self.run("add", "--all", "--", ":/", *self._temporary_exclusion())
        return _oid(self.run("write-tree"))

    def _temporary_exclusion(self) -> list[str]:
        """A pathspec for our own folder, which lies in the worktree if TMPDIR does."""
        top = os.fsdecode(self.run("rev-parse", "--show-toplevel").removesuffix(b"\n"))
        ours, worktree = (self._temporary or Path("/")).resolve(), Path(top).resolve()
        if not ours.is_relative_to(worktree):
            return []
        return [f":(exclude,top,literal){ours.relative_to(worktree)}"]

    def _lay_over(self, *, copy_index: bool) -> None:
        if self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="kilo-review-"))
        index, objects = self._temporary / "index", self._temporary / "objects"
        objects.mkdir(exist_ok=True)
        if copy_index and self.layout.index.exists():
            # With its time: by it git knows which files may have changed in the second of their staging.
            shutil.copy2(self.layout.index, index)
        others = [_quoted(str(self.layout.objects)), os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES", "")]
        self._overlay = {
            "GIT_INDEX_FILE": str(index),
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(filter(None, others)),
        }

    # Content

    def diff(self, base: str, head: str, paths: tuple[str, ...] = ()) -> tuple[bytes, bytes]:
        """File list and patch of two trees (`--raw -p`), and git's own counts of them (`--numstat`).

        The counts take git as long as the patch, so both are made at the same time.
        """
        trees = (*DIFF_FLAGS, base, head, "--", *paths)
        counting = self._start(self._command("diff-tree", "--numstat", *trees), as_process=True)
        try:
            patch = self.run("diff-tree", "--raw", *PATCH_FLAGS, *trees)
            errors = _drained(counting.stderr)
            counts: bytes = counting.stdout.read()
            status = counting.proc.wait()
        finally:
            _end(counting)
        if status < 0:
            raise too_slow("diff-tree")
        if status:
            raise explain("diff-tree", status, b"".join(errors).decode("utf-8", "replace"))
        return patch, counts

    def blob(self, oid: str) -> bytes:
        """One blob's bytes.

        Raises:
            SourceError: the object is not here (a partial or damaged clone).
        """
        if self._last_blob[0] != oid:
            self._last_blob = (oid, self._ask_blob(oid, None))
        return self._last_blob[1]

    def blob_start(self, oid: str) -> bytes:
        """The first 64 KiB of a blob, without holding the rest in memory; raises as `blob` does."""
        if self._last_blob[0] == oid:
            return self._last_blob[1][:START_BYTES]
        content = self._ask_blob(oid, START_BYTES)
        if len(content) < START_BYTES:
            self._last_blob = (oid, content)
        return content

    def _ask_blob(self, oid: str, limit: int | None) -> bytes:
        process = self._blob_process()
        try:
            process.stdin.write(oid.encode() + b"\n")
            process.stdin.flush()
        except OSError:
            raise self._gone("cat-file", process) from None
        header = process.stdout.readline().split()
        if not header:
            raise self._gone("cat-file", process)
        if len(header) != 3 or header[1] != b"blob":  # noqa: PLR2004  "<oid> <type> <size>"
            raise SourceError(
                f"git has no content for object {oid}",
                hint="In a partial clone, fetch it first (git fetch --refetch)",
            )
        size = int(header[2])
        content: bytes = process.stdout.read(size if limit is None else min(size, limit))
        rest = size - len(content) + 1  # git ends each answer with a line break
        while rest > 0 and (piece := process.stdout.read(min(rest, START_BYTES))):
            rest -= len(piece)
        if rest:
            raise SourceError(f"git stopped in the middle of object {oid}")
        return content

    def _gone(self, command: str, process: Any) -> SourceError:  # noqa: ANN401
        """Why a child has ended: by the deadline's hand, or by its own."""
        status = process.proc.wait()
        return too_slow(command) if status < 0 else SourceError(f"git {command} ended with status {status}")

    def _blob_process(self) -> Any:  # noqa: ANN401  GitPython's AutoInterrupt types neither stream
        if self._blobs is None:
            self._blobs = self._start(self._command("cat-file", "--batch"), istream=subprocess.PIPE, as_process=True)
            _drained(self._blobs.stderr)
        return self._blobs

    def attributes(self, tree: str, paths: Iterable[str], names: tuple[str, ...]) -> dict[str, dict[str, str]]:
        """Attributes of paths as the `.gitattributes` files in `tree` (and the user's own) say.

        Returns:
            For each path, the attributes that are specified: `set`, `unset` or a value.
        """
        wanted = list(paths)
        if not wanted:
            return {}
        if not self._overlay:
            self._lay_over(copy_index=False)
            self.run("read-tree", tree)
        # Not os.fsencode: paths were decoded as UTF-8, whatever the locale is.
        stdin = b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in wanted)
        output = self.run("check-attr", "-z", "--stdin", "--cached", *names, stdin=stdin)
        fields = output.decode("utf-8", "surrogateescape").split("\0")
        found: dict[str, dict[str, str]] = {}
        for path, name, value in zip(fields[0::3], fields[1::3], fields[2::3], strict=False):
            if value != "unspecified":
                found.setdefault(path, {})[name] = value
        return found

    def refs(self, prefix: str) -> list[str]:
        """Commit ids of all references below `prefix`."""
        output = self.run("for-each-ref", "--format=%(objectname)", prefix)
        return output.decode().split()


def _load_git() -> tuple[type[Git], type[Exception]]:
    """GitPython's process runner, and what it raises where there is no git.

    The package's own `__init__` loads its object layer and runs `git version` twice: 25 of 33 ms, for things
    that are never used here. So its two modules are imported under a bare package of the same name, which is
    taken away afterwards; a GitPython that does not bear this is imported whole.
    """
    # Without git on PATH the whole import must not fail with a page of advice, but the first command.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    spec = None if "git" in sys.modules else importlib.util.find_spec("git")
    if spec is not None and spec.submodule_search_locations:
        bare = ModuleType("git")
        bare.__path__ = list(spec.submodule_search_locations)
        sys.modules["git"] = bare
        try:
            return _import_git()
        except (ImportError, AttributeError):
            pass  # imported whole, below
        finally:
            del sys.modules["git"]
    return _import_git()


def _import_git() -> tuple[type[Git], type[Exception]]:
    from git.cmd import Git  # noqa: PLC0415  --help and a bad setting need not pay for it
    from git.exc import GitCommandNotFound  # noqa: PLC0415

    return Git, GitCommandNotFound


def _drained(stream: Any) -> list[bytes]:  # noqa: ANN401
    """What a child says on its standard error, read beside the rest: a full pipe would stop the child."""
    said: list[bytes] = []

    def read() -> None:
        with stream:
            for line in stream:
                if len(said) < MOST_COMPLAINTS:
                    said.append(line)

    threading.Thread(target=read, daemon=True).start()
    return said


def _end(process: Any) -> None:  # noqa: ANN401  GitPython's AutoInterrupt
    """Close the pipes of a child and wait for it; one that still writes is ended by that."""
    process.stdout.close()
    process.proc.wait()


@contextmanager
def _as_file(data: bytes | None) -> Iterator[Any]:
    """A real file, since GitPython hands its descriptor to the child; it cannot deadlock as a pipe can."""
    if data is None:
        yield None
        return
    with tempfile.TemporaryFile() as stream:
        stream.write(data)
        stream.seek(0)
        yield stream


def _oid(output: bytes) -> str:
    text = output.decode("ascii", "replace").strip()
    if not re.match(_HEX, text):
        raise SourceError(f"git answered {text[:80]!r} where an object id was expected")
    return text


def _quoted(path: str) -> str:
    """A path for GIT_ALTERNATE_OBJECT_DIRECTORIES, which splits at colons unless quoted."""
    if os.pathsep not in path and not path.startswith('"'):
        return path
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
