"""A fake of LiteLLM's proxy, without a database: its listing, what it tells of the servers behind it, its refusals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.fakes.base import Failure, as_json
from tests.support.fakes.openai import CompletionServer

if TYPE_CHECKING:
    from tests.support.fakes.base import Call, Response

INFO = "/v1/model/info"
WRONG_KEY = Failure(
    400, {"error": {"message": "No connected db.", "type": "no_db_connection", "param": None, "code": "400"}}
)


def refused(kind: str, status: int, message: str) -> Failure:
    """LiteLLM's form of an error."""
    return Failure(status, {"error": {"message": message, "type": kind, "param": None, "code": str(status)}})


@dataclass(frozen=True)
class Behind:
    """One entry of `model_list`: a model's name, the base URL of its server, and its `max_input_tokens`."""

    model: str = "reviewer"
    url: str | None = "http://127.0.0.1:8001/v1"
    window: int | None = 4096

    def info(self) -> dict[str, Any]:
        params = {"model": f"hosted_vllm/{self.model}"} | ({"api_base": self.url} if self.url else {})
        about = {"id": "c703", "db_model": False, "max_input_tokens": self.window}
        return {"model_name": self.model, "litellm_params": params, "model_info": about}


@dataclass(eq=False)
class LiteLLM(CompletionServer):
    """The proxy.

    Attributes:
        behind: its `model_list`.
        tells: whether it tells what is behind it.
    """

    behind: list[Behind] = field(default_factory=lambda: [Behind(), Behind(url="http://localhost:8002/v1")])
    tells: bool = True

    def respond(self, call: Call) -> Response:
        if not self.is_authorized(call):
            return WRONG_KEY.response()
        match call.method, call.path:
            case "GET", "/v1/models":
                return as_json({"object": "list", "data": [self._entry(name) for name in self._names()]})
            case "GET", "/v1/model/info" if self.tells:
                return as_json({"data": [each.info() for each in self.behind]})
            case "POST", "/v1/chat/completions":
                return self.complete(call.body, call.body["model"])
        return as_json({"detail": "Not Found"}, 404)

    def _names(self) -> list[str]:
        return list(dict.fromkeys(each.model for each in self.behind))

    def _entry(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 1677610602, "owned_by": "openai"}
