"""Names that read as others: letters of another script, or forms of a letter, that look like ASCII (CVE-2021-42694).

What looks like what is the Unicode Consortium's list (UTS #39), as the library `confusable_homoglyphs` brings it. Its
data file alone is read: the library's own modules load an HTTP client.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.finding import Severity
from kilo_review.judge.codepoints import Deceit, named, spelt
from kilo_review.judge.places import MATHEMATICAL, TEMPLATES, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kilo_review.core.deadline import Deadline
    from kilo_review.judge.places import Row
    from kilo_review.source.diff import Line

LETTERS = (  # without Latin letters of living languages, East Asian scripts and symbols
    r"\u0180-\u02ff\u0370-\u1cff\u1d00-\u1dbf\u2126-\u212b\u2160-\u217f\u2c00-\u2dff\ua4d0-\ua6ff\ua720-\uabff"
    r"\ufb00-\ufb06\uff21-\uff3a\uff41-\uff5a\U00010100-\U0001cfff\U0001d400-\U0001d7ff\U0001e000-\U0001efff"
)
"""Characters that are worth looking up."""
_WORD = r"[^\W_]+"
_SIDE_BY_SIDE = rf"[A-Za-z0-9][{LETTERS}]|[{LETTERS}][A-Za-z0-9]"
_LIVING = frozenset("\u0131\u0192\u0263\u0269\u028b")  # dotless i, letters of African alphabets: ordinary beside ASCII
_NOTATION = frozenset(map(chr, range(0x3B1, 0x3CA))) - {"\u03bf"} | {"\u03d2", "\u03f1"}
"""Greek letters of formulas: small ones, without omicron."""
_CONSPICUOUS = r"[\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d59f\U0001d5d4-\U0001d66f\U0001d6a4-\U0001d7ff]"
"""Fullwidth and mathematical letters, except plain sans-serif and monospace: a reader sees that they are unusual."""
_FORMS = r"[\uff21-\uff3a\uff41-\uff5a\ufb00-\ufb06\U0001d400-\U0001d7ff]"
"""Letters that compatibility normalisation makes ASCII."""
_OPERATORS = frozenset("!=<>&|*/;")
_SHORTEST_NOTATION = 3
_PROSE_WORDS = 2
"""Other words of the same script on a line, with letters of their own: then that is the language, not a trick."""
_TEMPLATE_WORDS = 1
_OF_TEXT = frozenset({"LATIN", "MODIFIER", "MATHEMATICAL"})
"""Phonetic spelling and ornament, in strings and prose."""
_BYTE = r"\\(?:x[0-9A-Fa-f]|[0-7]{2})"
"""The beginning of a byte's escape: letters behind it are bytes that happen to be UTF-8."""
_PYTHON = frozenset({".py", ".pyi", ".pyx"})
_FOLD = str.maketrans({"I": "l", "1": "l", "|": "l", "0": "O"})
_REMEDY = "Type it anew in one script; if it is meant, rename it so that nobody can take it for the other."


class _Line:
    """A line whose words are judged, and what they are judged against."""

    def __init__(self, row: Row, names: Names) -> None:
        self.row = row
        self.names = names

    @cached_property
    def scripts(self) -> Counter[str]:
        """How many words of its code are wholly in a script, with a letter that does not look like ASCII."""
        own = (_own_letter(word) for word in re.findall(_WORD, self.row.code))
        return Counter(_script(char) for char in own if char)

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of its code that are not ASCII."""
        return frozenset(word for word in re.findall(_WORD, self.row.code) if not word.isascii())


class _Word(NamedTuple):
    """A part of a name, between underscores."""

    text: str
    begin: int
    place: Place
    line: _Line

    def named(self, indexes: Sequence[int]) -> str:
        """Some of its characters, with their places on the line."""
        return named(self.line.row.text, [self.begin + index for index in indexes])

    @property
    def is_mathematical(self) -> bool:
        """Whether it is written in a language of mathematics."""
        return self.line.row.suffix in MATHEMATICAL


class Names:
    """The ASCII words of some lines: what another name could be taken for."""

    def __init__(self, lines: Sequence[Line], deadline: Deadline) -> None:
        self._lines = lines
        self._deadline = deadline

    def has(self, word: str) -> bool:
        """Whether a word, or one that looks the same in ASCII, is among them."""
        return word.translate(_FOLD) in self._folded

    def paced(self, items: Iterable[re.Match[str]]) -> Iterator[re.Match[str]]:
        """Return the items, with a look at the clock now and then.

        Raises:
            DeadlineError: the time is used up.
        """
        return self._deadline.paced(items)

    @cached_property
    def _folded(self) -> frozenset[str]:
        words: set[str] = set()
        for line in self._deadline.paced(self._lines):
            if line.kind != "-":
                words.update(re.findall(r"[A-Za-z0-9]+", line.text))
        return frozenset(word.translate(_FOLD) for word in words if not word.isdigit())


def impostor(row: Row, names: Names) -> Deceit | None:
    """The worst name on a line that reads as another."""
    if not re.search(_suspicion(), row.text):
        return None
    line = _Line(row, names)
    found = []
    for match in names.paced(re.finditer(_WORD, row.text)):
        if not match[0].isascii() and re.search(_suspicion(), match[0]):
            word = _Word(match[0], match.start(), row.place(match.start()), line)
            found += [deceit for judge in (_judge, _form) if (deceit := judge(word))]
    return min(found, key=lambda deceit: deceit.severity.rank, default=None)


@lru_cache(maxsize=1)
def _suspicion() -> str:
    """What a word that is worth judging has; ordinary text in other scripts comes by here, and should be quick.

    Two scripts side by side, or letters throughout that look like ASCII, or one letter that is told by itself.
    """
    looks, marks = "".join(_looks()), "".join(_marks())
    return rf"{_SIDE_BY_SIDE}|(?<![^\W_])[0-9]*[{looks}][0-9{looks}]*(?![^\W_])|[{marks}]|{_FORMS}"


def _judge(word: _Word) -> Deceit | None:
    foreign = [index for index, char in enumerate(word.text) if not char.isascii()]
    alike = [index for index in foreign if word.text[index] in _looks()]
    if word.place is not Place.CODE or _is_prose(word, foreign):
        return _in_text(word, foreign, alike) if alike else None
    if len(alike) < len(foreign):
        return _operator(word, foreign) or _amid(word, alike) or _latin_amid(word)
    return _mixed(word, alike) if _has_ascii_letter(word.text) else _whole(word, alike)


def _mixed(word: _Word, alike: list[int]) -> Deceit | None:
    """ASCII letters and others, all of which look like ASCII."""
    notation = [index for index in alike if _is_notation(word, index)]
    if len(notation) < len(alike):
        return _told(word, alike, Severity.CRITICAL)
    if _enclosed(word.text, notation):
        return None if word.is_mathematical else _told(word, alike, Severity.MAJOR)
    return _whole(word, alike)


def _whole(word: _Word, alike: list[int]) -> Deceit | None:
    """A name that reads as one that also stands in these lines."""
    is_notation = all(_is_notation(word, index) for index in alike)
    shortest = _SHORTEST_NOTATION if is_notation else 1
    if len(word.text) < shortest or not _may_be_name(word) or not word.line.names.has(_reading(word.text)):
        return None
    return _told(word, alike, Severity.MAJOR if is_notation else Severity.CRITICAL)


def _amid(word: _Word, alike: list[int]) -> Deceit | None:
    """A letter that looks like ASCII between ASCII letters, in a word that also has others."""
    inner = [index for index in _enclosed(word.text, alike) if not _is_notation(word, index)]
    return _told(word, inner, Severity.CRITICAL) if inner else None


def _latin_amid(word: _Word) -> Deceit | None:
    """An ASCII letter between letters of another script, one of which looks the same."""
    for match in re.finditer(r"(?<=[^\W\d_A-Za-z])[A-Za-z](?=[^\W\d_A-Za-z])", word.text):
        before, char = word.text[match.start() - 1], match[0]
        script = _script(before)
        if script not in _OF_TEXT and before.isupper() == char.isupper() and char in _twins().get(script, ""):
            title = f"Two scripts in one name: {word.named([match.start()])}"
            message = (
                f"{spelt(word.text)} ({word.named([match.start()])}): an ASCII letter stands between"
                f" {script.capitalize()} letters, one of which looks the same. A reader sees one script; the"
                f" compiler sees another name than the one that is typed in a single script. {_REMEDY}"
            )
            return Deceit(Severity.MAJOR, title, message)
    return None


def _in_text(word: _Word, foreign: list[int], alike: list[int]) -> Deceit | None:
    """In strings and prose an ending in another script is ordinary; a letter in the middle of a word is not."""
    scripts = {_script(word.text[index]) for index in alike}
    if len(alike) < len(foreign) or not scripts.isdisjoint(_OF_TEXT) or any(_is_notation(word, at) for at in alike):
        return None
    if re.search(_BYTE, word.line.row.text[max(0, word.begin - 1) : word.begin + 3]):
        return None
    is_string = word.place is Place.STRING
    inner = _enclosed(word.text, alike, from_start=is_string)
    return _told(word, inner, Severity.MAJOR if is_string else Severity.MINOR) if inner else None


def _operator(word: _Word, foreign: list[int]) -> Deceit | None:
    """A letter that looks like an operator or another mark of code."""
    for index in foreign:
        mark = _marks().get(word.text[index])
        if mark:
            place = word.named([index])
            message = (
                f"{place}: a reader sees the mark {mark} of the language; the compiler sees a letter, and so one name"
                f" instead of an expression. Put the ASCII mark in its place, or rename it."
            )
            return Deceit(Severity.CRITICAL, f"A letter that looks like {mark}: {place}", message)
    return None


def _form(word: _Word) -> Deceit | None:
    """A name in fullwidth or mathematical letters that is ASCII after normalisation."""
    import unicodedata  # noqa: PLC0415  a table of 1 MB, not for ASCII

    forms = [match.start() for match in re.finditer(_FORMS, word.text)]
    plain = unicodedata.normalize("NFKC", word.text)
    if not forms or not plain.isascii() or word.place is not Place.CODE or word.is_mathematical:
        return None
    if len(forms) == 1 and not re.search(rf"[A-Za-z]{_FORMS}|{_FORMS}[A-Za-z]|[\ufb00-\ufb06]", word.text):
        return None
    is_python = word.line.row.suffix in _PYTHON
    sees = f"the ASCII name {spelt(plain)}" if is_python else f"another name than {spelt(plain)}"
    message = (
        f"{spelt(word.text)} ({word.named(forms)}): a reader, and a search, sees unusual letters; the compiler"
        f" sees {sees}. Write {spelt(plain)} in ASCII, or choose another name."
    )
    title = f"A name in letters that stand for ASCII: {word.named(forms[:1])}"
    return Deceit(Severity.MAJOR if is_python else Severity.MINOR, title, message)


def _told(word: _Word, indexes: list[int], severity: Severity) -> Deceit:
    reading = _reading(word.text)
    twin = f" {spelt(reading)} itself also stands in these lines." if word.line.names.has(reading) else ""
    message = (
        f"{spelt(word.text)} reads as {spelt(reading)} ({word.named(indexes)}). A reader sees one word; the"
        f" compiler sees another.{twin} {_REMEDY}"
    )
    more = f" and {len(indexes) - 1} more" if len(indexes) > 1 else ""
    title = f"Looks like {spelt(reading)} and is not: {word.named(indexes[:1])}{more}"
    return Deceit(severity, title, message)


def _enclosed(text: str, indexes: list[int], *, from_start: bool = False) -> list[int]:
    """Those of the indexes with ASCII letters on both sides (or only behind them, if the word may start with them)."""
    letters = [match.start() for match in re.finditer("[A-Za-z]", text)]
    if not letters:
        return []
    first = -1 if from_start else letters[0]
    return [index for index in indexes if first < index < letters[-1]]


def _has_ascii_letter(text: str) -> bool:
    return re.search("[A-Za-z]", text) is not None


def _is_notation(word: _Word, index: int) -> bool:
    return word.text[index] in _NOTATION


def _may_be_name(word: _Word) -> bool:
    """Whether a word that is wholly in another script may be a name of the program: single letters are also words."""
    row = word.line.row
    if len(word.text) == 1:
        return row.is_program and row.looks_like_code and word.line.words == {word.text}
    return row.is_program or row.looks_like_code


def _is_prose(word: _Word, foreign: list[int]) -> bool:
    """Whether the code around a word is in fact text in its script: a docstring that began above the hunk."""
    script = _script(word.text[foreign[0]])
    is_counted = bool(_own_letter(word.text))
    least = _TEMPLATE_WORDS if word.line.row.suffix in TEMPLATES else _PROSE_WORDS
    return word.line.scripts[script] - is_counted >= least


def _own_letter(word: str) -> str:
    """A letter that does not look like ASCII, of a word that is wholly in another script; else ""."""
    if len(word) == 1 or re.search("[A-Za-z0-9]", word):
        return ""
    return next((char for char in word if char not in _looks()), "")


def _reading(text: str) -> str:
    """What a reader takes it for."""
    looks = _looks()
    return "".join(looks.get(char, char) for char in text)


@lru_cache(maxsize=512)
def _script(char: str) -> str:
    """The script of a letter: the first word of its name."""
    import unicodedata  # noqa: PLC0415  a table of 1 MB, not for ASCII

    return unicodedata.name(char, "").split(" ")[0]


@lru_cache(maxsize=1)
def _table() -> Mapping[str, list[dict[str, str]]]:
    import json  # noqa: PLC0415  with the library, when there is something to look up

    import confusable_homoglyphs  # noqa: PLC0415  for the place of its data, 0.9 MB

    loaded: Mapping[str, list[dict[str, str]]] = json.loads(
        Path(confusable_homoglyphs.__file__).with_name("confusables.json").read_bytes()
    )
    return loaded


@lru_cache(maxsize=1)
def _looks() -> Mapping[str, str]:
    """Letter → the ASCII letter or digit that it looks like."""
    looks = {}
    for char, others in _table().items():
        if re.fullmatch(f"[{LETTERS}]", char) and char not in _LIVING and not re.match(_CONSPICUOUS, char):
            plain = next((other["c"] for other in others if re.fullmatch("[A-Za-z0-9]", other["c"])), "")
            if plain and char.isalnum():
                looks[char] = "I" if plain == "l" and char.isupper() else plain
    return looks


@lru_cache(maxsize=1)
def _marks() -> Mapping[str, str]:
    """Letter → the mark of code that it looks like."""
    return {
        char: other["c"]
        for char, others in _table().items()
        if re.fullmatch(f"[{LETTERS}]", char) and char.isalpha()
        for other in others
        if other["c"] in _OPERATORS
    }


@lru_cache(maxsize=1)
def _twins() -> Mapping[str, str]:
    """Script → the ASCII letters that look like one of its own."""
    twins: dict[str, str] = {}
    for char, plain in _looks().items():
        twins[_script(char)] = twins.get(_script(char), "") + plain
    return twins
