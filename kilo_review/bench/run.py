"""The real pipeline over a set of cases: what is done is kept, so that a run that was stopped goes on."""

from __future__ import annotations

import json
import shutil
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kilo_review.bench.score import Result, judged
from kilo_review.core.deadline import TICK, Deadline
from kilo_review.core.errors import KiloReviewError, ModelError
from kilo_review.core.finding import digest
from kilo_review.core.outcome import Target, TargetKind
from kilo_review.models.base import answer_identity
from kilo_review.review import pipeline as review
from kilo_review.review.session import Session
from kilo_review.source.git import Git

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from kilo_review.bench.case import Case
    from kilo_review.core.outcome import ModelInfo
    from kilo_review.models.base import Model
    from kilo_review.review.request import Job

MOST_FAILURES = 3
"""Cases in a row that the model said nothing about; then it is the server that fails, not the model."""


class Watch(Protocol):
    """Somebody who is told how the run goes."""

    def model_chosen(self, info: ModelInfo) -> None:
        """This model is asked."""

    def case_done(self, done: int, total: int, seconds_left: float) -> None:
        """So many cases are done, and the rest will take about so long."""


class Silent:
    """Nobody is told of single hunks."""

    def model_chosen(self, info: ModelInfo) -> None:
        """See `job.Watch`."""

    def progress(self, done: int, total: int) -> None:
        """See `job.Watch`."""


class Run(NamedTuple):
    """What came of one model's run.

    Attributes:
        model: its name.
        results: in the order of the cases.
        stopped: whether Ctrl-C ended it.
        not_kept: why the results could not be kept; "" if they were, or need not be.
    """

    model: str
    results: tuple[Result, ...]
    stopped: bool
    not_kept: str = ""


@dataclass(slots=True)
class Kept:
    """Results on disk, one line each; a missing or unreadable file holds none.

    Attributes:
        path: the file, or None to keep nothing.
        problem: why nothing could be kept; "" as long as it could.
    """

    path: Path | None
    problem: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def load(self) -> dict[str, Result]:
        """Results by the digest of their case."""
        if self.path is None:
            return {}
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:  # most often because nothing was kept yet
            return {}
        found: dict[str, Result] = {}
        for line in text.splitlines():
            try:
                row = json.loads(line)
                found[row["case"]] = Result(**row["result"])
            except (ValueError, TypeError, KeyError):  # the last line of a run that was killed
                continue
        return found

    def add(self, case: Case, result: Result) -> None:
        """Keep one more."""
        if self.path is None or self.problem:
            return
        line = json.dumps({"case": case.digest, "result": result._asdict()})
        try:
            with self._lock:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as stream:
                    stream.write(line + "\n")
        except OSError as error:
            self.problem = error.strerror or str(error)


def planted(cases: Sequence[Case], folder: Path) -> dict[str, Target]:
    """One repository with the two trees of each case; the name of the case → what to compare."""
    git = Git(folder)
    git.run("init", "-q", "--template=", str(folder))
    targets = {}
    for case in cases:
        before = {each.old_path: each.before for each in case.files}
        after = {each.path: each.after for each in case.files}
        targets[case.name] = Target(TargetKind.RANGE, _tree(git, folder, before), _tree(git, folder, after))
    return targets


def _tree(git: Git, folder: Path, files: dict[str, str | None]) -> str:
    for entry in folder.iterdir():
        if entry.name != ".git":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for path, content in files.items():
        if content is not None:
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content, encoding="utf-8", newline="")
    git.run("add", "--all", "--force", "--", ".")
    return git.run("write-tree").decode().strip()


def key_of(job: Job, model: Model) -> str:
    """32 hex digits of all that could change a model's results."""
    who = answer_identity(model, job.prompts.version)
    return digest(who, job.identity, str(job.deadline.seconds), str(model.info.window))


class Bench:
    """Runs cases with one model."""

    def __init__(self, job: Job, cases: Sequence[Case], folder: Path, watch: Watch) -> None:
        """Prepare.

        Args:
            job: the model, and how it is asked; its time limit is for each change.
            cases: what is run.
            folder: an empty one, for the repository of the cases.
            watch: who is told how it goes.
        """
        self._job = job
        self._cases = cases
        self._folder = folder
        self._watch = watch
        self._targets = planted(cases, folder)
        self._stop = threading.Event()

    def run(self, keep_in: Path | None, *, jobs: int = 1) -> Run:
        """Run what is not known yet.

        Args:
            keep_in: a folder for results; None keeps none.
            jobs: changes that are reviewed at the same time.

        Raises:
            ModelError: the model cannot be asked, or stopped answering; what was done is kept.
        """
        sessions = [Session(Deadline(), remembers=False, directory=self._folder) for _ in range(jobs)]
        try:
            model = sessions[0].model(self._job.model)
            self._watch.model_chosen(model.info)
            kept = Kept(keep_in / f"{key_of(self._job, model)}.jsonl" if keep_in else None)
            return self._all(sessions, kept, model.info.name)
        finally:
            for session in sessions:
                session.__exit__()

    def _all(self, sessions: Sequence[Session], kept: Kept, name: str) -> Run:
        known = kept.load()
        done = {case.name: known[case.digest] for case in self._cases if case.digest in known}
        waiting = [case for case in self._cases if case.name not in done]
        stopped = False
        failures: list[str] = []
        started = time.monotonic()
        try:
            for number, (case, result) in enumerate(self._results(sessions, waiting), 1):
                if result is None:
                    stopped = True
                    break
                if result.failure and not result.completion_tokens:
                    failures.append(result.failure)
                    _give_up_if(len(failures) >= MOST_FAILURES or len(failures) == len(waiting), failures[-1])
                    continue
                failures.clear()
                done[case.name] = result
                kept.add(case, result)
                each = (time.monotonic() - started) / number
                self._watch.case_done(len(done), len(self._cases), each * (len(waiting) - number))
        except KeyboardInterrupt:
            stopped = True
        results = tuple(done[case.name] for case in self._cases if case.name in done)
        return Run(name, results, stopped, kept.problem)

    def _results(self, sessions: Sequence[Session], waiting: Sequence[Case]) -> Iterator[tuple[Case, Result | None]]:
        """Results as they come; None for a case in which Ctrl-C was pressed."""
        if len(sessions) == 1:
            yield from ((case, self._one(case, sessions[0])) for case in waiting)
            return
        free, left = list(sessions), list(waiting)
        running: dict[Future[Result | None], tuple[Case, Session]] = {}
        with ThreadPoolExecutor(len(sessions)) as pool:
            try:
                while left or running:
                    while left and free:
                        session = free.pop()
                        case = left.pop(0)
                        running[pool.submit(self._one, case, session)] = (case, session)
                    for future in wait(running, timeout=TICK, return_when=FIRST_COMPLETED).done:
                        case, session = running.pop(future)
                        free.append(session)
                        yield case, future.result()
            except (KeyboardInterrupt, GeneratorExit):
                self._stop.set()
                for session in sessions:
                    session.hang_up()
                raise

    def _one(self, case: Case, session: Session) -> Result | None:
        limit = self._job.deadline.seconds
        deadline = Deadline() if limit is None else Deadline().within(limit)
        job = self._job.of(self._targets[case.name])._replace(deadline=deadline)
        started = time.monotonic()
        try:
            outcome = review.run(job, Silent(), session)
        except ModelError:
            if self._stop.is_set():
                return None
            raise
        return None if outcome.interrupted or self._stop.is_set() else judged(case, outcome, time.monotonic() - started)


def _give_up_if(is_hopeless: bool, reason: str) -> None:
    if is_hopeless:
        raise KiloReviewError(f"the model does not answer: {reason}", hint="What was done is kept; run it again")


def chosen(cases: Sequence[Case], limit: int | None) -> list[Case]:
    """At most so many cases: as many buggy as clean ones, and of as many languages as there is room for."""
    if limit is None or limit >= len(cases):
        return list(cases)
    buggy, clean = (_mixed([case for case in cases if case.is_clean is wanted]) for wanted in (False, True))
    half = min(len(buggy), max(limit - limit // 2, limit - len(clean)))
    picked = {case.name for case in (*buggy[:half], *clean[: limit - half])}
    return [case for case in cases if case.name in picked]


def _mixed(cases: Sequence[Case]) -> list[Case]:
    """One of each language, then a second of each, and so on."""
    seen: dict[str, int] = {}
    rank = {}
    for case in cases:
        seen[case.language] = rank[case.name] = seen.get(case.language, -1) + 1
    return sorted(cases, key=lambda case: (rank[case.name], case.language))
