"""The pre-commit framework's configuration, with our hooks added and every other byte left as it is.

A round-trip YAML library says where things stand, and checks the result; the text itself is inserted as lines,
since even a round-trip writer changes indentation and quotes that it does not expect.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kilo_review.core.errors import ConfigError
from kilo_review.core.front_matter import UNEXPECTED

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = ".pre-commit-config.yaml"
IDS = {"pre-commit": "kilo-review", "pre-push": "kilo-review-push"}
TITLES = {
    "pre-commit": "kilo-review (staged change, local model)",
    "pre-push": "kilo-review (pushed commits, local model)",
}
BOM = "\ufeff"
LONGEST = 128 << 10
"""Characters; the largest ones in use have a third of this."""
DEEPEST = 100
MOST_NODES = 20_000
"""Values, those that aliases repeat counted each time: merged mappings of 430 bytes can take minutes."""


def missing(text: str, hooks: Sequence[str]) -> list[str]:
    """Those of the hooks that a configuration does not call yet.

    Raises:
        ConfigError: it is not a configuration of the framework.
    """
    data = _loaded(text)
    known = [hook for repo in _repos(data) for hook in (repo.get("hooks") or []) if isinstance(hook, dict)]
    return [
        name
        for name in hooks
        if not any(
            hook.get("id") == IDS[name] or str(hook.get("entry", "")).startswith(f"kilo-review hook {name}")
            for hook in known
        )
    ]


def added(text: str, hooks: Sequence[str], repo: str | None = None, rev: str | None = None) -> str:
    """A configuration with the hooks added at the end of its list.

    Args:
        text: the configuration; "" for a new one.
        hooks: their names.
        repo: address of a clone to take them from; None to run the program that is installed.
        rev: a revision in it.

    Raises:
        ConfigError: they cannot be added without changing anything else.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.removeprefix(BOM).split(newline)
    before = _loaded(text)
    _repos(before)  # nothing is added to what is wrong
    at, column, head = _place(text, lines, is_new=not text.strip())
    block = [" " * column + line if line else "" for line in _entry(hooks, repo, rev)]
    result = [*lines[:at], *head, *block, *lines[at:]]
    changed = (BOM if text.startswith(BOM) else "") + newline.join(result)
    if not changed.endswith(newline):
        changed += newline
    _check(before, changed, hooks)
    return changed


def entry(hooks: Sequence[str], repo: str | None = None, rev: str | None = None) -> str:
    """The lines to paste below `repos:`."""
    return "\n".join(_entry(hooks, repo, rev))


def _entry(hooks: Sequence[str], repo: str | None, rev: str | None) -> list[str]:
    lines = ["- repo: local"] if repo is None else [f"- repo: {_quoted(repo)}", f"  rev: {_quoted(rev or '')}"]
    lines.append("  hooks:")
    for hook in hooks:
        lines.append(f"    - id: {IDS[hook]}")
        if repo is None:
            lines += [
                f"      name: {TITLES[hook]}",
                f"      entry: kilo-review hook {hook}",
                "      language: system",
                f"      stages: [{hook}]",
                "      pass_filenames: false",
                "      always_run: true",
                "      require_serial: true",
                "      verbose: true",
            ]
    return lines


def _quoted(text: str) -> str:
    """A YAML scalar that is read as this very text."""
    return "'" + text.replace("'", "''") + "'"


def _place(text: str, lines: list[str], *, is_new: bool) -> tuple[int, int, list[str]]:
    """At which line to insert, at which column, and what stands before."""
    end = len(lines) - 1 if lines[-1] == "" else len(lines)
    root = _composed(text)
    if root is None:
        types = ["default_install_hook_types: [pre-commit, pre-push]"] if is_new else []
        return end, 2, [*types, "repos:"]
    sequence = next((value for key, value in root.value if key.value == "repos"), None)
    if sequence is None:
        return _after(root, lines), 2, ["repos:"]
    if sequence.flow_style or not sequence.value:
        raise ConfigError(
            f"`repos` of {NAME} is a list in brackets, which cannot be added to without rewriting it",
            hint=f"Write it as lines that begin with `-`, or paste:\n{entry(list(IDS))}",
        )
    return _after(sequence.value[-1], lines), sequence.start_mark.column, []


def _after(node: Any, lines: list[str]) -> int:  # noqa: ANN401  a node of ruamel.yaml
    """The line behind the last one of a node that holds something other than a comment."""
    end: int = node.end_mark.line + (1 if node.end_mark.column else 0)
    end = min(end, len(lines))
    while end > node.start_mark.line + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end


def _check(before: Any, changed: str, hooks: Sequence[str]) -> None:  # noqa: ANN401
    """What was there must be read as before, and ours as meant."""
    after = _loaded(changed)
    old, new = _repos(before), _repos(after)
    if new[:-1] != old or _rest(after) != _rest(before or {}) or missing(changed, hooks):
        raise ConfigError(f"{NAME} has a form that cannot be added to", hint=f"Paste below `repos:`:\n{entry(hooks)}")


def _rest(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in {"repos", "default_install_hook_types"}}


def _repos(data: Any) -> list[dict[str, Any]]:  # noqa: ANN401  whatever the file holds
    """The list of repositories.

    Raises:
        ConfigError: there is something else.
    """
    if data is None:
        return []
    if not isinstance(data, dict):
        raise ConfigError(f"{NAME} is not a table of settings", hint="Correct it first: pre-commit validate-config")
    repos = data.get("repos")
    if repos is None:
        return []
    if not isinstance(repos, list) or not all(isinstance(repo, dict) for repo in repos):
        raise ConfigError(f"`repos` of {NAME} is not a list", hint="Correct it first: pre-commit validate-config")
    return repos


def _check_size(text: str) -> None:
    """Refuse what would keep the YAML library busy: it comes with a clone, and `init` has no time limit.

    Raises:
        ConfigError: the text is too long, nested too deep, or its aliases stand for too much.
    """
    depth = deepest = 0
    for bracket in re.findall(r"[\[{\]}]", text):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    if len(text) > LONGEST or deepest > DEEPEST or _weight(text) > MOST_NODES:
        raise ConfigError(
            f"{NAME} is too large: {LONGEST >> 10} KiB, {DEEPEST} levels and {MOST_NODES} values, those that aliases"
            " repeat included, are the limit",
            hint="Add the hooks by hand: kilo-review init --help",
        )


def _weight(text: str) -> int:
    """How many values a YAML text stands for, each alias counted as what it repeats; it is endless within itself."""
    from ruamel.yaml import YAML  # noqa: PLC0415  40 ms that only init needs
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent  # noqa: PLC0415

    known: dict[str, int] = {}
    open_ones: list[tuple[str | None, int]] = []
    total = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, AliasEvent):
            total += known.get(event.anchor, MOST_NODES)
        elif isinstance(event, CollectionStartEvent):
            open_ones.append((event.anchor, total))
        elif isinstance(event, (ScalarEvent, CollectionEndEvent)):
            total += 1
            anchor, before = (event.anchor, total - 1) if isinstance(event, ScalarEvent) else open_ones.pop()
            if anchor:
                known[anchor] = total - before
        if total > MOST_NODES or len(open_ones) > DEEPEST:
            return MOST_NODES + 1
    return total


def _loaded(text: str) -> Any:  # noqa: ANN401  whatever the file holds
    from ruamel.yaml import YAML  # noqa: PLC0415  40 ms that only init needs
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        _check_size(text.removeprefix(BOM))
        return YAML(typ="safe", pure=True).load(text.removeprefix(BOM))
    except (YAMLError, *UNEXPECTED) as error:
        raise _unreadable(error) from None


def _composed(text: str) -> Any:  # noqa: ANN401  a node of ruamel.yaml, or None
    from ruamel.yaml import YAML  # noqa: PLC0415
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        return YAML(typ="rt").compose(text.removeprefix(BOM))
    except (YAMLError, *UNEXPECTED) as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> ConfigError:
    reason = " ".join(str(error).split())
    return ConfigError(f"{NAME} cannot be read as YAML: {reason}", hint="Correct it first: pre-commit validate-config")
