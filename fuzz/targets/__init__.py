"""The targets by name; each module of this folder has those of one part of the program."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuzz.target import Target

PLACES = {
    "address": "servers",
    "anchor": "anchors",
    "answer": "replies",
    "baseline": "baselines",
    "case": "texts",
    "diff-tree": "patches",
    "display": "displays",
    "fault": "servers",
    "fix": "fixes",
    "head": "texts",
    "ignore": "texts",
    "inert": "inerts",
    "known": "baselines",
    "ledger": "memories",
    "ledger-rows": "memories",
    "notebook": "notebooks",
    "ollama-stream": "streams",
    "openai-stream": "streams",
    "parser": "parsers",
    "patch": "patches",
    "patch-git": "patches",
    "reply": "replies",
    "rule": "texts",
    "settings": "settings",
}


def load(name: str) -> Target:
    """A target. What it fuzzes is imported now, not earlier: atheris instruments modules as they are imported."""
    target: Target = import_module(f"fuzz.targets.{PLACES[name]}").TARGETS[name]
    return target
