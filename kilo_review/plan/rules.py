"""The project's own rules: Markdown files that are put to the model with the code that they are about.

They are the repository's words, so they are data: they may name further defects, and change nothing else.
"""

from __future__ import annotations

import os
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review.core import front_matter, safe_file
from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import ConfigError
from kilo_review.core.finding import Severity
from kilo_review.plan.patterns import ignore_list
from kilo_review.plan.syntax import LANGUAGES
from kilo_review.sanitize.model_input import inert
from kilo_review.sanitize.terminal import escaped_path, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

FOLDERS = (".kilo-review/rules", ".kilocode/rules")
"""Where they lie; a rule of the first shadows one of the same name in the second."""
REVIEW = "REVIEW.md"
"""Kilo Code's place for what its reviews heed."""
AGENTS = "AGENTS.md"
"""In a subfolder, it is about what lies below."""
DEFAULT_TOKENS = 1000
"""For all rules of one request; a fifth of what fits the smallest usual window beside the answer."""
MOST_FILES = 500
MOST_SIZE = 2 << 20
"""Characters of all of them together."""
LONGEST_HEADS = 64 << 10
"""Characters of all heads together: the YAML library reads some ten thousand in a second."""
LONGEST_NAME = 80
UNNAMED = "unnamed"
"""A file whose name is blank: "" is what the model says where no rule is broken."""
MORE_LANGUAGES = {
    ".sql": "sql", ".md": "markdown", ".yml": "yaml", ".yaml": "yaml", ".json": "json", ".toml": "toml",
    ".html": "html", ".css": "css", ".tf": "terraform", ".zig": "zig", ".dart": "dart", ".pl": "perl", ".r": "r",
}  # fmt: skip
ALIASES = {"js": "javascript", "ts": "typescript", "tsx": "typescript", "c++": "cpp", "c#": "csharp", "shell": "bash",
           "sh": "bash", "golang": "go", "py": "python"}  # fmt: skip


class Rule(NamedTuple):
    """One rule.

    Attributes:
        name: the file's name without its ending.
        origin: the file, from the top of the repository.
        text: what it says.
        globs: patterns of the files that it is about, as in .gitignore; none: every file.
        languages: likewise, by language.
        severity: of findings that break it; None: as the model judges.
        below: the folder that it is about; "" for all of the repository.
    """

    name: str
    origin: str
    text: str
    globs: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    severity: Severity | None = None
    below: str = ""

    @property
    def block(self) -> str:
        """What the model is shown: every line stands behind a gutter, so none can pose as an instruction."""
        rows = [f"| {inert(line.rstrip())}".rstrip() for line in self.text.strip().split("\n")]
        return "\n".join([f"RULE {self.name}", *rows])


class Book(NamedTuple):
    """All rules of a repository, those first that are nearest to this program.

    Attributes:
        rules: those that count.
        shadowed: files that do not, each with the one that does.
        tokens: the budget for one request.
        below: reads the rules of subfolders, the nearest to a file last; not before there is something to review.
    """

    rules: tuple[Rule, ...] = ()
    shadowed: tuple[tuple[str, str], ...] = ()
    tokens: int = DEFAULT_TOKENS
    below: Callable[[], tuple[Rule, ...]] = tuple

    @property
    def every(self) -> tuple[Rule, ...]:
        """Return the rules of the whole repository and those of its subfolders.

        Raises:
            ConfigError: as of `load`.
        """
        return (*self.rules, *self.below())


class Shelf:
    """Which rules are about which file, and fit the budget of one request."""

    def __init__(self, book: Book, estimate: Callable[[str], int], deadline: Deadline | None = None) -> None:
        """Choose nothing yet.

        Args:
            book: all rules.
            estimate: tokens of a text.
            deadline: when choosing must be over; it raises a DeadlineError then.
        """
        self._deadline = deadline or Deadline()
        self._book = book
        self._estimate = estimate
        self._matchers = [(rule, _matcher(rule, deadline)) for rule in book.every]
        self._chosen: dict[str, tuple[Rule, ...]] = {}
        self._left: dict[Rule, int] = {}
        self._blocks: dict[Rule, str] = {}

    def about(self, path: str) -> tuple[Rule, ...]:
        """The rules that are about a file, whatever they cost."""
        self._deadline.cap(1.0)
        return tuple(rule for rule, matches in self._matchers if matches(path))

    def chosen(self, path: str) -> tuple[Rule, ...]:
        """Those of them that are sent; one that is too long does not stop a shorter one."""
        if path not in self._chosen:
            self._chosen[path] = self._fitting(self.about(path))
        return self._chosen[path]

    def cost(self, rules: Sequence[Rule]) -> int:
        """Tokens of these rules together."""
        return sum(map(self._tokens, rules))

    def fit(self, rules: Sequence[Rule]) -> bool:
        """Whether these rules may be sent in one request."""
        return self.cost(rules) <= self._book.tokens

    @property
    def notes(self) -> list[str]:
        """Rules that were about a file and were not sent, with their price."""
        limit = f"{self._book.tokens} are for rules (rules_tokens)"
        return [
            f"the rule {rule.origin} was not sent: it takes about {cost} tokens, and {limit}"
            for rule, cost in self._left.items()
        ]

    def _tokens(self, rule: Rule) -> int:
        if rule not in self._blocks:
            self._blocks[rule] = rule.block
        return self._estimate(self._blocks[rule])

    def _fitting(self, rules: Iterable[Rule]) -> tuple[Rule, ...]:
        fitting: list[Rule] = []
        left = self._book.tokens
        for rule in rules:
            cost = self._tokens(rule)
            if cost > left:
                self._left[rule] = cost
                continue
            fitting.append(rule)
            left -= cost
        return tuple(fitting)


def blocks(rules: Sequence[Rule]) -> str:
    """Rules as the model is shown them."""
    return "\n\n".join(rule.block for rule in rules)


def load(
    root: Path | None,
    tokens: int = DEFAULT_TOKENS,
    deadline: Deadline | None = None,
    find: Callable[[Path], Sequence[str]] | None = None,
) -> Book:
    """Read the rules of a repository.

    Args:
        root: its top; None for no repository.
        tokens: the budget for one request.
        deadline: when reading must be over.
        find: the paths of `AGENTS.md` in its subfolders; None to leave them out.

    Raises:
        ConfigError: one of the files cannot be read, its head is wrong, or they are too large.
        DeadlineError: the time is used up.
    """
    if root is None:
        return Book(tokens=tokens)
    found: dict[str, Rule] = {}
    shadowed: list[tuple[str, str]] = []
    reader = _Reader(root, deadline)
    for path in _files(root):
        origin, text = reader.read(path)
        rule = _rule(path, origin, text)
        if rule.name in found:
            shadowed.append((rule.origin, found[rule.name].origin))
        elif rule.text.strip():
            found[rule.name] = rule
    if find is None:
        return Book(tuple(found.values()), tuple(shadowed), tokens)
    return Book(tuple(found.values()), tuple(shadowed), tokens, cache(lambda: _below(root, find(root), reader)))


class _Reader:
    """Reads files within the limits that all of them together have."""

    def __init__(self, root: Path, deadline: Deadline | None) -> None:
        self._root, self._deadline = root, deadline or Deadline()
        self._size = self._heads = self._files = 0

    def read(self, path: Path, *, within: Path | None = None) -> tuple[str, str]:
        """Return the name of a file for messages, and its text; links may lead to its own folder, or `within`."""
        self._deadline.cap(1.0)
        origin = escaped_path(path.relative_to(self._root).as_posix())
        text = _text(path, origin, within)
        self._files += 1
        self._size += len(text)
        self._heads += front_matter.length(text)
        if self._files > MOST_FILES:
            raise ConfigError(f"with {origin} there are too many files of rules; {MOST_FILES} are the limit")
        if self._size > MOST_SIZE or self._heads > LONGEST_HEADS:
            raise ConfigError(
                f"with {origin} the rules are too large: {MOST_SIZE >> 20} MiB, and {LONGEST_HEADS >> 10} KiB of heads,"
                " are the limit"
            )
        return origin, text


def _below(root: Path, paths: Sequence[str], reader: _Reader) -> tuple[Rule, ...]:
    """Return the rules of subfolders, those of a folder before those of the folders in it."""
    rules = []
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):
        folder, _, _ = path.rpartition("/")
        if not Path(os.path.realpath(root / folder)).is_relative_to(os.path.realpath(root)):
            raise ConfigError(f"{str(root / folder)!a} leads out of the repository")
        if not (root / path).exists():  # git knows it, and it is gone; or a link that leads nowhere
            continue
        origin, text = reader.read(root / path, within=root)
        rule = _rule(root / path, origin, text)
        name = _named(escaped_path(path.removesuffix(".md"))[-LONGEST_NAME:])
        if rule.text.strip():
            rules.append(rule._replace(name=name, below=folder))
    return tuple(rules)


def _files(root: Path) -> list[Path]:
    found: list[Path] = []
    top = os.path.realpath(root)
    for folder in (root / name for name in FOLDERS):
        if not folder.is_dir():
            continue
        if not Path(os.path.realpath(folder)).is_relative_to(top):
            raise ConfigError(f"{str(folder)!a} leads out of the repository")
        found += sorted(path for path in folder.iterdir() if path.suffix == ".md")
    if len(found) > MOST_FILES:
        raise ConfigError(f"there are {len(found)} files of rules; {MOST_FILES} are the limit")
    return found + [root / name for name in (REVIEW, AGENTS) if (root / name).is_file()]


def _text(path: Path, origin: str, within: Path | None) -> str:
    content = safe_file.read_bytes(path, within=within)
    try:
        return content.decode("utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{origin} is not UTF-8: {error}", hint="Save it as UTF-8") from None


def _rule(path: Path, origin: str, text: str) -> Rule:
    head, body = front_matter.split(text, origin)
    name = _named(path.stem)
    globs = _words(head.get("globs"), f"{origin}: globs")
    languages = tuple(_language(word, origin) for word in _words(head.get("languages"), f"{origin}: languages"))
    rule = Rule(name, origin, body, globs, languages, _severity(head.get("severity"), origin))
    _matcher(rule)  # a pattern that is none is told now
    return rule


def _named(text: str) -> str:
    return inert(one_line(text)).replace('"', "'")[:LONGEST_NAME].strip() or UNNAMED


def _words(value: Any, origin: str) -> tuple[str, ...]:  # noqa: ANN401  whatever stands in the file
    """A list of texts, or one text with commas."""
    if value is None:
        return ()
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ConfigError(f"{origin} must be a text or a list of texts")
    return tuple(word.strip() for word in words if word.strip())


def _language(word: str, origin: str) -> str:
    name = ALIASES.get(word.lower(), word.lower())
    known = {*LANGUAGES.values(), *MORE_LANGUAGES.values()} - {"tsx"}
    if name not in known:
        raise ConfigError(f"{origin}: {word!a} is no known language", hint=f"There are: {', '.join(sorted(known))}")
    return name


def _severity(value: Any, origin: str) -> Severity | None:  # noqa: ANN401
    if value is None:
        return None
    if not isinstance(value, str) or value.lower() not in set(Severity):
        raise ConfigError(f"{origin}: severity must be one of {', '.join(Severity)}, not {value!a}")
    return Severity(value.lower())


def _matcher(rule: Rule, deadline: Deadline | None = None) -> Callable[[str], bool]:
    listed = ignore_list(rule.origin, rule.globs, deadline)

    def matches(path: str) -> bool:
        if rule.below and not path.startswith(f"{rule.below}/"):
            return False
        if rule.globs and not listed(path):
            return False
        return not rule.languages or language_of(path) in rule.languages

    return matches


def language_of(path: str) -> str:
    """The language of a file by its ending, or ""."""
    suffix = PurePosixPath(path).suffix.lower()
    name = LANGUAGES.get(suffix) or MORE_LANGUAGES.get(suffix, "")
    return "typescript" if name == "tsx" else name
