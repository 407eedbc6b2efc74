"""What servers say about a model on another machine: which words mean that, and which do not."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from kilo_review.models.consent import Consent
from kilo_review.models.elsewhere import place_in, place_in_headers

CONSENT = Consent.of(["gpu.example"])


@pytest.mark.parametrize(
    ("facts", "place"),
    [
        ({"remote_host": "https://ollama.com:443", "remote_model": "gpt-oss:120b"}, "https://ollama.com:443"),
        ({"remote_model": "gpt-oss:120b"}, "another machine (remote_model)"),
        ({"recipe": "cloud"}, "another machine (recipe: cloud)"),
        ({"recipe": "cloud", "cloud_provider": "fireworks"}, "fireworks"),
        ({"cloudProvider": "fireworks"}, "fireworks"),
        ({"meta": {"llamaswap": {"type": "peer"}}}, "another machine (type: peer)"),
        ({"meta": {"llamaswap": {"peerID": "gpu-box"}}}, "gpu-box"),
        ({"details": [{"runtime": {"backend": "cloud-proxy"}}]}, "another machine (backend: cloud-proxy)"),
        ({"is_remote": True}, "another machine (is_remote)"),
        ({"local": False}, "another machine (local: false)"),
        ({"labels": ["tool-calling", "cloud"]}, "another machine (labels: cloud)"),
        ({"deviceIdentifier": "mac-studio"}, "mac-studio"),
        ({"provider": "OpenAI"}, "OpenAI"),
        ({"upstream_provider": "Together AI"}, "Together AI"),
        ({"api_base": "https://api.example/v1"}, "https://api.example/v1"),
        ({"proxy": "http://192.0.2.7:8080"}, "http://192.0.2.7:8080"),
        ({"node": "worker-2"}, "worker-2"),
        ({"peer_addr": "192.0.2.7:8080"}, "192.0.2.7:8080"),
        ({"p2p": {"peer": "x"}}, "x"),
        ({"status": {"value": "loaded", "args": ["llama-server", "--rpc", "192.0.2.7:50052"]}}, "192.0.2.7:50052"),
        ({"cmd": "llama-server -m x.gguf --rpc=127.0.0.1:50052,192.0.2.7:50052"}, "192.0.2.7:50052"),
        ({"api_base": "http://gpu.example/v1"}, "http://gpu.example/v1"),  # allowed, but not without TLS
        ({"connection_type": "external"}, "another machine (connection_type: external)"),
        ({"type": "proxy"}, "another machine (type: proxy)"),
        ({"kind": "External-API"}, "another machine (kind: External-API)"),
        ({"hosting": "saas"}, "another machine (hosting: saas)"),
        ({"source": "proxy"}, "another machine (source: proxy)"),
        ({"backend": "openai"}, "another machine (backend: openai)"),
        ({"engine": "Azure OpenAI"}, "another machine (engine: Azure OpenAI)"),
        ({"provider": "Amazon Bedrock"}, "Amazon Bedrock"),
        (
            {"execution_provider": "CloudExecutionProvider"},
            "another machine (execution_provider: CloudExecutionProvider)",
        ),
        ({"runtime": {"deviceType": "Cloud"}}, "another machine (deviceType: Cloud)"),
        ({"runs_on": "cloud"}, "another machine (runs_on: cloud)"),
        ({"runs_on": "gpu-box"}, "gpu-box"),
        ({"runs_on": "gpu.example.org:8000"}, "gpu.example.org:8000"),
        ({"runs_on": "192.0.2.7"}, "192.0.2.7"),
        ({"forwarded_to": "192.0.2.7"}, "192.0.2.7"),
        ({"proxied": True}, "another machine (proxied: true)"),
        ({"external": True}, "another machine (external: true)"),
        ({"tags": ["external"]}, "another machine (tags: external)"),
        ({"owned_by": "anthropic"}, "another machine (owned_by: anthropic)"),
        ({"owned_by": "Azure OpenAI"}, "another machine (owned_by: Azure OpenAI)"),
        ({"id": "gpt-4o", "owned_by": "openai"}, "another machine (owned_by: openai)"),
        ({"id": "o3-mini", "owned_by": "system"}, "another machine (owned_by: system)"),
        ({"id": "models/gemini-2.5-pro", "owned_by": "google"}, "another machine (owned_by: google)"),
        ({"openai": {"id": "openai/gpt-5", "owned_by": "openai"}}, "another machine (owned_by: openai)"),
    ],
)
def test_another_machine(facts: dict[str, Any], place: str) -> None:
    assert place_in({"id": "m", "object": "model", **facts}, CONSENT) == place


@pytest.mark.parametrize(
    "facts",
    [
        {"remote_host": "", "remote_model": None},
        {"recipe": "llamacpp", "cloud_provider": ""},
        {"meta": {"llamaswap": {"type": "model", "aliases": ["peer-reviewer", "cloud"]}}},
        {"peers": [], "remote": {"enabled": False}, "cloud": {"disabled": True}},
        {"is_remote": False, "local": True, "is_local": True},
        {"trust_remote_code": True, "supports_cloud": True, "remote_timeout": 30},
        {"id": "cloud-coder:7b", "name": "peer: x", "description": "runs in the cloud"},
        {"type": "llm", "publisher": "google", "owned_by": "openai"},
        {"provider": "llama.cpp", "upstream": "llama.cpp", "worker": "0", "node": "cpu"},
        {"remote_addr": "127.0.0.1", "remote_port": "", "endpoint": "/v1/chat/completions"},
        {"api_base": "http://127.0.0.1:8001/v1", "proxy": "http://localhost:5800", "host": "0.0.0.0"},
        {"api_base": "https://gpu.example/v1"},
        {"node": "local", "hostname": socket.gethostname()},
        {"status": {"value": "loaded", "args": ["llama-server", "--rpc", "localhost:50052", "--remote"]}},
        {"choices": [{"delta": {"content": "x"}, "provider": "OpenAI"}], "usage": {"remote": 1}},
        {"homepage": "https://example.com", "url": "https://example.com/x.gguf"},
        {"connection_type": "local", "type": "model", "kind": "llm"},
        {"proxied": False, "external": False, "external_url": "https://example.com/x", "external_id": "7"},
        {"source": "external", "origin": "upstream", "device": "external GPU", "backend": "external"},
        {"backend": "openai-compatible", "engine": "mistral.rs", "runtime": "together"},
        {"tags": ["external-tools", "upstream", "tools"], "execution_provider": "CUDAExecutionProvider"},
        *({"runs_on": word} for word in ("GPU.0", "cuda:0", "NPU", "RTX4090", "CPU and GPU", "localhost", "llama.cpp")),
        {"runs_on": "https://gpu.example/v1"},
        {"id": "gpt-4o", "owned_by": "vllm"},
        {"id": "gpt-4o", "owned_by": "llamacpp"},
        {"id": "gpt-4o"},
        {"id": "openai/gpt-oss-20b", "owned_by": "openai"},
        {"id": "gpt-4-alpaca", "owned_by": "user"},
        {"id": "google/gemma-3-4b-it", "owned_by": "google"},
        *({"owned_by": maker} for maker in ("openai", "google", "mistralai", "deepseek-ai", "Qwen", "nvidia", "groq")),
        *({"owned_by": maker} for maker in ("cohere", "fireworks-ai", "togethercomputer", "Microsoft", "system")),
    ],
)
def test_no_other_machine(facts: dict[str, Any]) -> None:
    assert place_in(facts, CONSENT) == ""


def test_what_is_nested_endlessly_is_read_to_a_depth_alone() -> None:
    facts: dict[str, Any] = {"id": "m"}
    for _ in range(5000):
        facts = {"meta": facts}
    assert place_in(facts) == ""
    assert place_in(None) == place_in([]) == place_in("cloud") == ""


@pytest.mark.parametrize(
    ("headers", "place"),
    [
        ({"x-litellm-model-api-base": "https://api.openai.com/v1"}, "https://api.openai.com/v1"),
        ({"x-localai-node": "gpu-2"}, "gpu-2"),
        ({"x-olla-endpoint": "gpu-server-1"}, "gpu-server-1"),
        ({"x-served-by": "cache-fra-1234"}, "cache-fra-1234"),
        ({"x-upstream-addr": "127.0.0.1:1, 192.0.2.7:2"}, "192.0.2.7:2"),
        ({"x-backend-server": "gpu.local"}, "gpu.local"),
        ({"via": "1.1 gateway.example (squid)"}, "gateway.example"),
        ({"via": "1.1 Caddy, 1.1 google"}, "google"),
        ({"cf-ray": "8f1"}, "a server of a cloud provider"),
        ({"server": "cloudflare"}, "a server of a cloud provider"),
        ({"openai-organization": "x"}, "a server of a cloud provider"),
        ({"llm_provider-cf-ray": "8f1"}, "a server of a cloud provider"),
        ({"x-gateway-provider": "Anthropic"}, "Anthropic"),
        *(
            ({name: "8f1"}, "a server of a cloud provider")
            for name in (
                *("x-together-id", "fireworks-server-processing-time", "mistral-correlation-id", "x-azure-ref"),
                *("azureml-model-session", "x-ms-client-request-id", "x-ms-region", "x-groq-region"),
            )
        ),
    ],
)
def test_a_header_that_names_another_machine(headers: dict[str, str], place: str) -> None:
    assert place_in_headers(headers) == (place, next(iter(headers)))


@pytest.mark.parametrize(
    "headers",
    [
        {"server": "uvicorn", "llm_provider-server": "uvicorn", "date": "x", "x-request-id": "8f1"},
        {"x-litellm-model-api-base": "http://127.0.0.1:8001/v1", "x-litellm-version": "1.109.0"},
        {"x-localai-node": "local", "x-olla-endpoint": "local-ollama", "x-served-by": "olla/local-ollama"},
        {"x-upstream-addr": "127.0.0.1:11434, [::1]:8080", "x-upstream": "unix:/run/model.sock"},
        {"x-served-by": socket.gethostname(), "x-olla-backend-type": "ollama", "x-backend": "llama.cpp"},
        {"via": "1.1 Caddy"},
        {"via": "1.1 localhost:3128 (squid)"},
        {"x-endpoint": "/v1/models", "openai-processing-ms": "12", "x-worker-id": "3", "x-backend": "cuda"},
        {"x-litellm-custom-llm-provider": "openai"},
        {"x-correlation-id": "1", "x-client-request-id": "2", "x-ms-per-token": "12", "together": "x"},
        {},
    ],
)
def test_a_header_that_names_none(headers: dict[str, str]) -> None:
    assert place_in_headers(headers) == ("", "")


def test_of_a_host_that_the_user_allows_an_address_alone_is_looked_at() -> None:
    assert place_in_headers({"cf-ray": "8f1", "x-served-by": "pod-7"}, is_local=False) == ("", "")
    base = {"x-litellm-model-api-base": "https://api.openai.com/v1"}
    assert place_in_headers(base, is_local=False) == (*base.values(), *base)
    assert place_in_headers({"x-served-by": "gpu.example"}, consent=CONSENT) == ("", "")
