"""The shape of the program, held against the code: who may import whom, and who may touch the outside."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from kilo_review.models import PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.conftest import Repo

PACKAGE = Path(__file__).parents[2] / "kilo_review"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = Path(__file__).parents[1]
TEST_MODULES = sorted(TESTS.rglob("test_*.py"))

GROUND = ("core", "sanitize")
LAYERS = {
    # A room may import the rooms to its right, and itself.
    "sanitize": (),
    "core": (),
    "source": GROUND,
    "prompts": GROUND,
    "ledger": GROUND,
    "hooks": (*GROUND, "source"),
    "models": (*GROUND, "prompts"),
    "plan": (*GROUND, "source"),
    "judge": (*GROUND, "plan", "source"),
    "review": (*GROUND, "judge", "ledger", "models", "plan", "prompts", "source"),
    "config": (*GROUND, "judge", "models", "plan", "source"),
    "doctor": (*GROUND, "hooks", "ledger", "models", "plan", "prompts", "review", "source"),
    "bench": (*GROUND, "models", "plan", "review", "source"),
    "report": (*GROUND, "doctor", "judge", "review", "source"),
    "forge": (*GROUND, "judge", "report", "source"),
    "cli": (
        *GROUND,
        "bench",
        "config",
        "doctor",
        "forge",
        "hooks",
        "judge",
        "ledger",
        "models",
        "plan",
        "prompts",
        "report",
        "review",
        "source",
    ),
}
ONE_HOME: dict[str, str | tuple[str, ...]] = {
    "git": "source/git.py",
    "unidiff": "source/diff.py",
    "httpx": ("models/transport.py", "forge/client.py"),  # one for code, on this machine; one for what is published
    "httpcore": "models/transport.py",
    "ast_grep_py": "core/sandbox/syntax.py",
    "confusable_homoglyphs": "judge/lookalike.py",
    "detect_secrets": "sanitize/detectors.py",
    "platformdirs": "config/__init__.py",
    "pygments": "core/sandbox/coloring.py",
    "ruamel": ("hooks/pre_commit_config.py", "core/front_matter.py"),  # one writes, one only reads
    "xllamacpp": "models/engine.py",
}
SLOW = {*ONE_HOME, "rich", "tomllib"}
ALWAYS = {"platformdirs"}
"""Loaded in every run, and in a function for all that: where the user's settings lie (2 ms, which nothing else gives)."""
SLOW_OF_PYTHON = {"asyncio", "multiprocessing", "sqlite3", "ssl"}


EVERYTHING = {"BaseException", "Exception"}
BROAD = {
    # Only the boundary may go on after any error; the others hand it on.
    "cli/app.py": "a bug of the program must not stop a commit",
    "review/chunk_review.py": "hands on what was found before, and raises",
    "models/embedded.py": "ends the engine, and raises",
    "models/transport.py": "closes the connection, and raises",
    "review/voting.py": "hands on what was found before, and raises",
    "doctor/egress/watch.py": "ends the watched process, and raises",
}
"""Modules with one handler of everything each, and what it is for."""
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "expandvars"}


class Import(NamedTuple):
    """One module that is imported, or loaded by its name."""

    line: int
    module: str
    in_function: bool
    for_types: bool
    by_name: bool = False

    @property
    def is_at_start(self) -> bool:
        return not self.in_function and not self.for_types


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def module_of(path: Path) -> str:
    return ".".join(("kilo_review", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def room_of(module: str) -> str:
    """`kilo_review.source.diff` → `source`."""
    return module.split(".")[1] if "." in module else ""


def imports(source: str) -> Iterator[Import]:
    return _imports(ast.parse(source), in_function=False, for_types=False)


def _imports(node: ast.AST, *, in_function: bool, for_types: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(node.lineno, alias.name, in_function, for_types) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        yield from (Import(node.lineno, name, in_function, for_types) for name in _named(module, node.names))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and OWN.fullmatch(node.value):
        yield Import(node.lineno, node.value, in_function=True, for_types=False, by_name=True)
    elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__"}:
        yield Import(node.lineno, _first(node), in_function, for_types, by_name=True)
    is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
    for child in ast.iter_child_nodes(node):
        later = is_function and child not in getattr(node, "decorator_list", ())
        typed = is_for_types and isinstance(node, ast.If) and child in node.body
        yield from _imports(child, in_function=in_function or later, for_types=for_types or typed)


def _named(module: str, names: Sequence[ast.alias]) -> Iterator[str]:
    """What `from module import names` loads: the submodules that it names, or else the module."""
    for alias in names:
        full = f"{module}.{alias.name}"
        yield full if full in OWN_MODULES else module


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func).rpartition(".")[2]


def _first(node: ast.Call) -> str:
    """The name that `import_module` is called with; "" where it is not written there."""
    named = node.args[0] if node.args else None
    return named.value if isinstance(named, ast.Constant) and isinstance(named.value, str) else ""


OWN = re.compile(r"kilo_review(?:\.[a-z_0-9]+)+")
OWN_MODULES = {module_of(path) for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    found = list(imports(path.read_text()))
    assert not [each for each in found if each.module.startswith(".")], "relative import"
    if here in {"__init__", "__main__"}:
        return
    for each in found:
        if each.module.startswith("kilo_review.") and (room := room_of(each.module)) != here:
            assert room in LAYERS[here], f"{here} may not import {room}"


def test_the_layers_have_no_cycle() -> None:
    TopologicalSorter(LAYERS).prepare()  # raises CycleError


@pytest.mark.long
def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {
        module_of(path): {each.module for each in imports(path.read_text())} & OWN_MODULES - {"kilo_review"}
        for path in MODULES
    }
    assert sum(map(len, graph.values())) > 500
    TopologicalSorter(graph).prepare()  # raises CycleError, with the modules in their order


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_library_has_one_home(path: Path) -> None:
    for library in {each.module.split(".")[0] for each in imports(path.read_text())} & set(ONE_HOME):
        assert name_of(path) in homes(library), f"{library} is not for {name_of(path)}"


def homes(library: str) -> tuple[str, ...]:
    home = ONE_HOME[library]
    return (home,) if isinstance(home, str) else home


@pytest.mark.parametrize("library", ONE_HOME)
def test_a_home_is_lived_in(library: str) -> None:
    for home in homes(library):
        assert library in {each.module.split(".")[0] for each in imports((PACKAGE / home).read_text())}, home


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_slow_libraries_wait_and_own_modules_do_not(path: Path) -> None:
    assert list(wrongly_placed(path.read_text())) == []


def wrongly_placed(source: str) -> Iterator[str]:
    for each in imports(source):
        library = each.module.split(".")[0]
        if (library in SLOW or each.by_name) and each.is_at_start:
            yield f"line {each.line}: {each.module} is imported at start-up"
        if library == "kilo_review" and each.in_function and not each.by_name:
            yield f"line {each.line}: {each.module} is imported inside a function"


@pytest.mark.parametrize(
    "source",
    [
        "import httpx",
        "import httpx.sub as h",
        "from httpx import Client",
        "from git.exc import GitError",
        "if TYPE_CHECKING:\n    import httpx\nimport httpx",
        "if TYPE_CHECKING:\n    import httpx\nelse:\n    import httpx",
        "if not TYPE_CHECKING:\n    import httpx",
        "if sys.platform:\n    import httpx",
        "try:\n    import httpx\nexcept ImportError:\n    pass",
        "with suppress(ImportError):\n    import httpx",
        "class A:\n    import httpx",
        "httpx = import_module('httpx')",
        "httpx = __import__('httpx')",
        "httpx = importlib.import_module(NAME)",
        "@decorated(import_module(NAME))\ndef f():\n    pass",
        "def f():\n    import kilo_review.review.pipeline",
        "def f():\n    from kilo_review import review",
        "class A:\n    async def f(self):\n        from kilo_review.review.pipeline import run",
    ],
)
def test_an_import_in_the_wrong_place_is_found(source: str) -> None:
    assert len(list(wrongly_placed(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "if TYPE_CHECKING:\n    import httpx\n    from git import Repo",
        "def f():\n    import httpx",
        "class A:\n    async def f(self):\n        from httpx import Client",
        "def f():\n    return import_module('httpx')",
        "import httpxyz\nfrom kilo_review.models import httpx",
        "REVIEW = 'kilo_review.review.pipeline'\ndef f():\n    return import_module(REVIEW)",
    ],
)
def test_an_import_in_the_right_place_is_none_of_them(source: str) -> None:
    assert list(wrongly_placed(source)) == []


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from kilo_review.judge import vote", "kilo_review.judge.vote"),
        ("from kilo_review.judge.vote import majority", "kilo_review.judge.vote"),
        ("from kilo_review import __version__", "kilo_review"),
        ("VOTE = 'kilo_review.judge.vote'", "kilo_review.judge.vote"),
    ],
)
def test_a_module_is_known_however_it_is_imported(source: str, module: str) -> None:
    assert [each.module for each in imports(source)] == [module]


@pytest.mark.parametrize("arguments", [(), ("hook", "pre-commit")])
def test_nothing_slow_is_loaded_where_nothing_is_staged(repo: Repo, arguments: tuple[str, ...]) -> None:
    code = (
        "import sys; from kilo_review.cli import main\n"
        f"code = main({list(arguments)!r})\n"
        f"print(code, sorted({(SLOW | SLOW_OF_PYTHON) - ALWAYS!r} & set(sys.modules)))"
    )
    # Measuring coverage loads some of them before the program begins.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repo.path, env=env, capture_output=True, check=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_few_folders_read_the_environment(path: Path) -> None:
    if name_of(path).startswith(("config/", "core/sandbox/", "source/")):
        return
    assert list(of_the_environment(path.read_text())) == []


def of_the_environment(source: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(source)):
        named = {
            *([node.attr] if isinstance(node, ast.Attribute) else ()),
            *([node.id] if isinstance(node, ast.Name) else ()),
            *([alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else ()),
        }
        if named & ENVIRONMENT:
            yield getattr(node, "lineno", 0)


@pytest.mark.parametrize(
    "source", ["import os\nos.environ", "import os as o\no.getenv('A')", "from os import environ as e\ne['A']"]
)
def test_a_look_at_the_environment_is_found(source: str) -> None:
    assert list(of_the_environment(source))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_broad_except_outside_of_the_boundary(path: Path) -> None:
    handlers = [kind for kind, _ in broad(path.read_text())]
    assert len(handlers) == (name_of(path) in BROAD)
    if name_of(path) != "cli/app.py":
        assert all(hands_on for _, hands_on in broad(path.read_text())), "only the boundary may go on"


def broad(source: str) -> Iterator[tuple[str, bool]]:
    """Handlers of everything, and whether they raise again."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler):
            kinds = [node.type] if node.type else [ast.Name("BaseException")]
            last = node.body[-1]
            hands_on = isinstance(last, ast.Raise) and last.exc is None
        elif isinstance(node, ast.Call) and _called(node) == "suppress":
            kinds, hands_on = node.args, False
        else:
            continue
        named = {ast.unparse(each) for kind in kinds for each in (kind.elts if isinstance(kind, ast.Tuple) else [kind])}
        if found := {name.removeprefix("builtins.") for name in named} & EVERYTHING:
            yield min(found), hands_on


@pytest.mark.parametrize(
    "kind",
    ["", " Exception", " BaseException", " BaseException as e", " (OSError, Exception)", " (A, BaseException) as e"],
)
def test_a_handler_of_everything_is_found(kind: str) -> None:
    assert [hands_on for _, hands_on in broad(f"try:\n    f()\nexcept{kind}:\n    g()")] == [False]
    assert [hands_on for _, hands_on in broad(f"try:\n    f()\nexcept{kind}:\n    g()\n    raise")] == [True]
    assert list(broad("try:\n    f()\nexcept (OSError, ExceptionGroup):\n    g()")) == []


def test_everything_that_is_suppressed_is_found() -> None:
    assert list(broad("with contextlib.suppress(OSError, Exception):\n    f()")) == [("Exception", False)]
    assert list(broad("with suppress(OSError):\n    f()")) == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_are_short_and_files_one_idea(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 450
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long"


def test_every_room_is_in_the_picture() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert rooms - {"__init__", "__main__"} == set(LAYERS)


def test_every_provider_has_a_module_that_connects() -> None:
    for provider in PROVIDERS:
        assert callable(import_module(f"kilo_review.models.{provider}").connect)


@pytest.mark.parametrize("path", TEST_MODULES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_no_test_imports_another(path: Path) -> None:
    """What several need stands in `tests/support`; the table of failures alone gathers the rows of its tests."""
    found = {each.module.rpartition(".")[2] for each in imports(path.read_text()) if each.module.startswith("tests.")}
    assert not [name for name in found if name.startswith("test_")]


def test_tests_lie_where_they_belong() -> None:
    kinds = {"e2e", "integration", "meta", "reliability", "security", "unit"}
    assert {path.relative_to(TESTS).parts[0] for path in TEST_MODULES} == kinds
    units = {path.relative_to(TESTS).parts[1] for path in TEST_MODULES if path.parts[-3] == "unit"}
    assert units <= set(LAYERS)
