"""The ledger's file: opened when it is first needed, set aside if it is damaged, done without if it must be.

SQLite in WAL mode in `kilo-review/` of the repository's common git directory, so that linked worktrees share
it. Every failure of it ends here: a review never fails, and is never called clean, because of its ledger.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from kilo_review.core.deadline import Deadline

    Result = TypeVar("Result")

FOLDER = "kilo-review"
FILE = "ledger.sqlite3"
ENDINGS = ("", "-wal", "-shm", "-journal")
"""Of the files that SQLite keeps."""
VERSION = 3
BUSY_SECONDS = 2.0
"""Longest wait for another process; a transaction here takes a millisecond."""
LAST_SECONDS = 0.3
LARGEST = 32 << 20
"""Bytes of content; then the oldest quarter of all that grows is forgotten."""
DAMAGED_CODES = frozenset({11, 26})
"""SQLITE_CORRUPT and SQLITE_NOTADB (sqlite.org/rescode.html)."""
NOT_A_TEXT = 11
GROWING = ("verdicts", "receipts", "unreviewed", "runs", "sightings", "shown")
SCHEMA = (
    "CREATE TABLE verdicts (key TEXT PRIMARY KEY, findings TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID",
    """CREATE TABLE receipts (base TEXT NOT NULL, head TEXT NOT NULL, identity TEXT NOT NULL,
        provider TEXT NOT NULL, model TEXT NOT NULL, prompts TEXT NOT NULL, outcome TEXT NOT NULL,
        findings TEXT NOT NULL, entries BLOB NOT NULL, unseen INTEGER NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (base, head, identity))""",
    "CREATE INDEX unseen_receipts ON receipts (unseen) WHERE unseen",
    """CREATE TABLE unreviewed (base TEXT NOT NULL, head TEXT NOT NULL, reason TEXT NOT NULL,
        entries BLOB NOT NULL, at REAL NOT NULL, PRIMARY KEY (base, head))""",
    """CREATE TABLE calibration (model TEXT PRIMARY KEY, tokens_per_byte REAL NOT NULL, reading REAL NOT NULL,
        writing REAL NOT NULL, answer REAL NOT NULL, at REAL NOT NULL)""",
    """CREATE TABLE runs (kind TEXT NOT NULL, outcome TEXT NOT NULL, requests INTEGER NOT NULL, asked INTEGER NOT NULL,
        remembered INTEGER NOT NULL, left_out INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL, seconds REAL NOT NULL, held INTEGER NOT NULL, at REAL NOT NULL)""",
    """CREATE TABLE sightings (fingerprint TEXT PRIMARY KEY, path TEXT NOT NULL, evidence TEXT NOT NULL,
        severity TEXT NOT NULL, fixed_at REAL, at REAL NOT NULL)""",
    "CREATE INDEX open_sightings ON sightings (path) WHERE fixed_at IS NULL",
)
LATER = (
    """CREATE TABLE shown (fingerprint TEXT PRIMARY KEY, finding TEXT NOT NULL, base TEXT NOT NULL, head TEXT NOT NULL,
        at REAL NOT NULL)""",
    """CREATE TABLE dismissals (kin TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, finding TEXT NOT NULL,
        reason TEXT NOT NULL, at REAL NOT NULL)""",
)
"""What version 2 adds to version 1. Dismissals are decisions, not a cache: they do not grow old and are not cleared."""
ANSWERERS = ("ALTER TABLE receipts ADD COLUMN answerer TEXT NOT NULL DEFAULT 'unknown'",)
"""What version 3 adds: a receipt is bound to what answered. Older ones name nothing, and so count for nothing."""
STEPS = (SCHEMA, LATER, ANSWERERS)
"""What leads from each version to the next, from none at all."""


class Store:
    """Rows in and out. Without a usable file, reads are empty and writes are nothing; `off` says why.

    Attributes:
        off: why nothing is remembered in this run; "" as long as all is well.
        notes: what the user must be told once, such as that a damaged file was set aside.
    """

    def __init__(self, git_folder: Path, deadline: Deadline) -> None:
        self.folder = git_folder / FOLDER
        self.path = self.folder / FILE
        self.off = ""
        self.notes: list[str] = []
        self._owner = git_folder
        self._deadline = deadline
        self._database: sqlite3.Connection | None = None
        self._inode = 0

    def close(self) -> None:
        """Let go of the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401  what SQLite takes
        """What a query finds; nothing where there is no ledger yet."""
        if self._database is None and not self.path.exists():
            return []
        return self._guarded(lambda database: database.execute(statement, values).fetchall()) or []

    def write(self, *changes: tuple[str, Iterable[Sequence[Any]]]) -> bool:
        """Statements, each with rows of values, as one transaction: all or nothing. Whether it is written."""
        kept = [(statement, list(rows)) for statement, rows in changes]
        if not any(rows for _, rows in kept):
            return not self.off

        def act(database: sqlite3.Connection) -> bool:
            if database.in_transaction:  # of a write that Ctrl-C ended between two steps
                database.execute("ROLLBACK")
            try:
                database.execute("BEGIN IMMEDIATE")
                for statement, rows in kept:
                    database.executemany(statement, rows)
                database.execute("COMMIT")
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")
            return True

        return bool(self._guarded(act))

    def size(self) -> int:
        """Bytes on the disk, the write-ahead log included."""
        found = [self.path, self.path.with_name(FILE + "-wal")]
        return sum(path.stat().st_size for path in found if path.exists())

    def make_room(self) -> None:
        """Forget the oldest quarter of everything that grows, if it has grown beyond `LARGEST`."""
        pages = "SELECT (p.page_count - f.freelist_count) * s.page_size"
        tables = " FROM pragma_page_count() p, pragma_freelist_count() f, pragma_page_size() s"
        found = self.rows(pages + tables)
        if not found or found[0][0] <= LARGEST:
            return
        oldest = (
            "DELETE FROM {0} WHERE at <= (SELECT at FROM {0} ORDER BY at LIMIT 1 OFFSET (SELECT count(*) / 4 FROM {0}))"
        )
        if self.write(*((oldest.format(table), [()]) for table in GROWING)):
            self._guarded(lambda database: database.execute("PRAGMA incremental_vacuum").fetchall())

    def empty(self) -> bool:
        """Forget everything, and give the space back."""
        if not self.path.exists():
            return True
        done = self.write(*((f"DELETE FROM {table}", [()]) for table in (*GROWING, "calibration")))  # noqa: S608
        self._guarded(lambda database: database.execute("PRAGMA incremental_vacuum").fetchall())
        return done

    # Failures

    def _guarded(self, act: Callable[[sqlite3.Connection], Result]) -> Result | None:
        """What `act` returns; None if the ledger cannot be used. A damaged file is replaced by a new one, once."""
        if self.off:
            return None
        import sqlite3  # noqa: PLC0415  4 ms that a run without a ledger need not pay

        for is_retry in (False, True):
            try:
                return act(self._opened())
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                # Python itself raises, without a code, for a text that is not UTF-8: a flipped bit.
                is_damaged = getattr(error, "sqlite_errorcode", NOT_A_TEXT) & 0xFF in DAMAGED_CODES
                if is_retry or not is_damaged:
                    self.off = str(error)
                if self.off or not self._set_aside():
                    break
            except (OSError, OverflowError, UnicodeEncodeError) as error:  # the latter two: what SQLite cannot hold
                self.off = getattr(error, "strerror", None) or str(error)
                break
        self.close()
        return None

    def _opened(self) -> sqlite3.Connection:
        import sqlite3  # noqa: PLC0415

        if self._database is None:
            self.check_owner()
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self._refuse_links()
            self._inode = self.path.stat().st_ino if self.path.exists() else 0
            self._database = sqlite3.connect(self.path, timeout=self._patience(), isolation_level=None)
            if self._version() < VERSION:
                with self._locked():
                    self._create()
            if self._version() > VERSION:
                raise OSError(f"{self.path.name} was written by a newer version of kilo-review")
            self._database.execute("PRAGMA synchronous = NORMAL")
        return self._database

    def check_owner(self) -> None:
        """Rows of another user are not believed, and root leaves no files in another user's repository.

        Raises:
            OSError: the git directory is another user's.
        """
        if self._owner.stat().st_uid != os.geteuid() or self.folder.is_symlink():
            raise OSError("the git directory belongs to another user")

    def _refuse_links(self) -> None:
        """SQLite follows them, and a folder that a CI system restored from a cache may hold some."""
        linked = [name for ending in ENDINGS if (self.folder / (name := FILE + ending)).is_symlink()]
        if linked:
            raise OSError(f"{linked[0]} is a link")

    def _version(self) -> int:
        assert self._database
        version: int = self._database.execute("PRAGMA user_version").fetchone()[0]
        return version

    def _create(self) -> None:
        assert self._database
        self.path.chmod(0o600)
        self._database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("BEGIN IMMEDIATE")
        try:
            missing = [statement for step in STEPS[self._version() :] for statement in step]
            for statement in (*missing, f"PRAGMA user_version = {VERSION}") if missing else ():
                self._database.execute(statement)
            self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")

    def _set_aside(self) -> bool:
        """Keep a damaged file under another name, unless another process was faster. False if that fails."""
        self.close()
        try:
            with self._locked():
                if not self.path.exists() or self.path.stat().st_ino != self._inode:
                    return True
                for ending in ENDINGS[1:]:
                    self.path.with_name(FILE + ending).unlink(missing_ok=True)
                self.path.replace(self.path.with_name(FILE + ".damaged"))
        except OSError as error:
            self.off = f"{self.path.name} is damaged, and cannot be set aside: {error}"
            return False
        self.notes.append(f"the ledger was damaged; it is kept as {FILE}.damaged, and a new one was begun")
        return True

    def _patience(self) -> float:
        """Seconds to wait for others; at the deadline just long enough to note what was left undone."""
        left = self._deadline.remaining()
        return BUSY_SECONDS if left is None else max(LAST_SECONDS, min(BUSY_SECONDS, left))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among all processes that create or set aside this ledger."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            wait_for_lock(descriptor, self._patience())
            yield
        finally:
            os.close(descriptor)


def wait_for_lock(descriptor: int, seconds: float) -> None:
    """Lock an open file for this process alone.

    Raises:
        OSError: another one has kept it for that long.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise OSError("another process keeps it locked") from None
            time.sleep(0.01)
        else:
            return
