"""The shape of the program, held against the code: who may import whom, and who may touch the outside."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

from kilo_review.models import PROVIDERS

PACKAGE = Path(__file__).parent.parent / "kilo_review"
MODULES = sorted(PACKAGE.rglob("*.py"))

GROUND = ("errors", "deadline", "display", "finding", "inert", "outcome")
PIPELINE = ("inquiry", "job", "memory", "packing", "session", "sieve", "verifier")
LAYERS = {
    # A room may import the rooms to its right, and itself.
    "errors": (),
    "display": (),
    "deadline": ("errors",),
    "finding": (),
    "inert": ("display",),
    "outcome": ("finding",),
    "atomic_write": (),
    "throttle": (),
    "source": (*GROUND, "atomic_write"),
    "front_matter": GROUND,
    "safe_file": GROUND,
    "sandbox": (*GROUND, "source"),
    "plan": (*GROUND, "front_matter", "safe_file", "sandbox", "source"),
    "prompts": GROUND,
    "models": (*GROUND, "prompts", "throttle"),
    "judge": (*GROUND, "plan", "source"),
    "options": GROUND,
    "config": (*GROUND, "judge", "models", "options", "plan", "safe_file", "source"),
    "ask": (*GROUND, "judge", "models", "plan", "prompts"),
    "poll": (*GROUND, "ask", "judge", "models", "plan"),
    "answering": (*GROUND, "ask", "judge", "packing", "plan", "poll"),
    "lanes": (*GROUND, "answering", "ask", "plan", "throttle"),
    "ledger": GROUND,
    "job": (*GROUND, "judge", "models", "plan", "prompts", "source"),
    "session": (*GROUND, "ledger", "models", "plan", "source"),
    "readiness": (*GROUND, "models", "session"),
    "packing": (*GROUND, "job", "ledger", "plan", "source"),
    "aliases": (*GROUND, "plan", "source"),
    "sieve": (*GROUND, "aliases", "job", "judge", "plan", "source"),
    "verifier": (*GROUND, "ask", "job", "judge", "ledger", "models", "packing", "plan", "session"),
    "inquiry": (
        *(*GROUND, "answering", "ask", "job", "judge", "lanes", "ledger", "models", "packing", "plan", "session"),
        *("sieve", "source", "throttle", "verifier"),
    ),
    "memory": (*GROUND, "job", "judge", "ledger", "source"),
    "review": (*GROUND, *PIPELINE, "judge", "ledger", "models", "plan", "prompts", "source"),
    "series": (*GROUND, *PIPELINE, "judge", "ledger", "models", "plan", "review", "source"),
    "acceptance": (*GROUND, *PIPELINE, "judge", "review", "source"),
    "background": ("ledger",),
    "standing": (*GROUND, "job", "judge", "ledger", "series", "session", "source"),
    "doctor": (*(*GROUND, "hooks", "ledger", "models", "plan", "prompts", "safe_file", "session", "setup", "source"),),
    "report": (*GROUND, "atomic_write", "doctor", "judge", "sandbox", "source", "standing"),
    "forge": (*GROUND, "judge", "report", "source"),
    "setup": GROUND,
    "hooks": (*GROUND, "source"),
    "explain": (*GROUND, "ask", "job", "judge", "models", "plan", "safe_file", "session"),
    "bench": (*GROUND, "front_matter", "job", "models", "plan", "review", "session", "source"),
    "proof": (*GROUND, "hooks", "models", "source"),
    "cli": (
        *("acceptance", "atomic_write", "bench", "doctor", "explain", "forge", "proof"),
        *(*GROUND, "config", "hooks", "job", "judge", "ledger", "models", "options", "prompts", "report"),
        *("plan", "readiness", "review", "safe_file", "series", "session", "setup", "source", "standing", "background"),
    ),
}
ONE_HOME: dict[str, str | tuple[str, ...]] = {
    "git": "source/git.py",
    "unidiff": "source/diff.py",
    "httpx": ("models/transport.py", "forge/wire.py"),  # one for code, on this machine; one for what is published
    "httpcore": "models/transport.py",
    "ast_grep_py": "sandbox/syntax.py",
    "confusable_homoglyphs": "judge/lookalike.py",
    "detect_secrets": "display/detectors.py",
    "platformdirs": "config/__init__.py",
    "pygments": "sandbox/coloring.py",
    "ruamel": ("setup/framework.py", "front_matter.py"),  # one writes, one only reads
    "xllamacpp": "models/engine.py",
}
SLOW = {*ONE_HOME, "rich", "tomllib"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(module: str) -> str:
    """`kilo_review.source.diff` → `source`."""
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> list[tuple[ast.AST, str]]:
    found: list[tuple[ast.AST, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            if node.module == "kilo_review":
                found += [(node, f"kilo_review.{alias.name}") for alias in node.names]
            else:
                found.append((node, node.module))
    return found


def at_top(path: Path) -> set[int]:
    tree = ast.parse(path.read_text())
    inner = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return {id_line for node in inner for id_line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if here in {"__init__", "__main__"}:
        return
    for _, module in imports(path):
        if module.startswith("kilo_review") and (room := room_of(module)) not in {"__version__", here}:
            assert room in LAYERS[here], f"{here} may not import {room}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_library_has_one_home_and_slow_ones_wait(path: Path) -> None:
    inside_functions = at_top(path)
    for node, module in imports(path):
        library = module.split(".")[0]
        line = getattr(node, "lineno", 0)
        in_type_checking = "TYPE_CHECKING" in path.read_text() and line not in inside_functions
        if library in ONE_HOME:
            home = ONE_HOME[library]
            assert name_of(path) in ((home,) if isinstance(home, str) else home)
        if library in SLOW and not in_type_checking:
            assert line in inside_functions, f"{module} is imported at start-up"
        if library == "kilo_review":
            assert line not in inside_functions, f"{module} is imported inside a function"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_config_and_source_read_the_environment(path: Path) -> None:
    if name_of(path).startswith("config/") or name_of(path).startswith("source/"):
        return
    assert "os.environ" not in path.read_text()
    assert "getenv" not in path.read_text()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_broad_except_outside_of_the_boundary(path: Path) -> None:
    broad = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    ]
    assert len(broad) <= (1 if name_of(path) == "cli/app.py" else 0)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_are_short_and_files_one_idea(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 450
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long"


def test_every_room_is_in_the_picture() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert rooms - {"__init__", "__main__"} == set(LAYERS)


def test_every_provider_has_a_module_that_connects() -> None:
    for provider in PROVIDERS:
        assert callable(import_module(f"kilo_review.models.{provider}").connect)
