"""Characters that nobody sees: in names, in strings, and as a carrier of hidden data (Glassworm, ASCII smuggling).

Scripts and emoji that need such characters keep them: first what is ordinary is taken away, then the rest is judged by
where it stands.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kilo_review.core.finding import Severity
from kilo_review.judge.codepoints import (
    FILLERS,
    INVISIBLE,
    MARKS,
    PRIVATE,
    SELECTORS,
    SEPARATORS,
    SPACES,
    TAGS,
    Deceit,
    named,
)
from kilo_review.judge.places import TEMPLATES, Place

if TYPE_CHECKING:
    from kilo_review.judge.places import Row

LONGEST_RUN = 3
"""Invisible characters in a row that some orthography or careless editor may leave; more are data."""
MOST_SELECTORS = 7
"""Variation selectors and tags out of place on one line; more are data, one after each letter."""
LONGEST_PRIVATE_RUN = 7
"""Private use characters in a row: icons stand alone or in small groups."""
_BOM = "\ufeff"
_WORD, _ASCII_WORD = r"[\w$]", r"[A-Za-z0-9_$]"
_MILD = r"[\xad\ufe0e\ufe0f\u2060]"
"""Hyphenation, emoji style and no-break: left over from text, seldom on purpose."""
_JOINED = (  # scripts in which letters join or stack
    r"\u0590-\u0dff\u0f00-\u109f\u1780-\u18af\u1a20-\u1aaf\u1b00-\u1bff\ua800-\ua82f\ua840-\ua87f\ua8e0-\ua8ff"
    r"\ua980-\ua9df\uaa00-\uaadf\uabc0-\uabff\ufb1d-\ufdff\ufe70-\ufefc\U00010a00-\U00010fff\U00011000-\U00011fff"
    r"\U0001e900-\U0001e95f"
)
_UNSPACED = r"\u0e00-\u109f\u1780-\u17ff\u1950-\u1aaf\u1b00-\u1c4f\ua900-\uaadf"  # scripts without blanks
_EMOJI = r"\xa9\xae\u203c-\u2053\u2070-\u20ff\u2100-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_IDEOGRAPHS = r"\u3001-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff5e\U00020000-\U0003ffff"
_JAMO = r"\u1100-\u115e\u1161-\u11ff\ua960-\ua97f\ud7b0-\ud7ff"
_COMBINING = r"\u0300-\u036f\u0590-\u05ff\u0600-\u06ff"
_ORDINARY = "|".join(
    (
        rf"(?<=[{_JOINED}])[\u200c\u200d]{{1,3}}|[\u200c\u200d]{{1,3}}(?=[{_JOINED}])",
        rf"(?<=[{_UNSPACED}])\u200b|\u200b(?=[{_UNSPACED}])",
        rf"(?<=[{_EMOJI}])[\ufe0e\ufe0f]|(?<=[{_EMOJI}\ufe0f])\u200d|(?<=[0-9#*])\ufe0f(?=\u20e3)",
        r"(?<=\U0001f3f4)[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f",  # flags of regions
        rf"(?<=[0\u2190-\u2bff])\ufe00|(?<=[{_IDEOGRAPHS}])[\ufe00-\ufe02\U000e0100-\U000e011f]",
        r"(?<=[\u1000-\u109f\ua840-\ua87f\uaa60-\uaa7f])\ufe00|(?<=[\U00013000-\U000143ff])[\ufe00-\ufe06]",
        rf"(?<=[{_JAMO}])[\u115f\u1160]|[\u115f\u1160](?=[{_JAMO}])",
        rf"(?<=[{_COMBINING}])\u034f|\u034f(?=[{_COMBINING}])",
        r"(?<=[\u1780-\u17b3\u17b6-\u17ff])[\u17b4\u17b5]|(?<=[\u1820-\u18af])[\u180b-\u180f]|\u180e(?=[\u1820-\u18af])",
        r"(?<=[\U0001bc00-\U0001bc9f])[\U0001bca0-\U0001bca3]+",
        r"(?<=[\U0001d100-\U0001d172])[\U0001d173-\U0001d17a]+|[\U0001d173-\U0001d17a]+(?=[\U0001d100-\U0001d172])",
    )
)
_HIDDEN = (
    "A reader sees nothing there. A program can read such characters back as data or code, and so can a language model"
    " that is shown this line. Find out where they come from before anything runs, and delete them."
)
_UNSEEN = (
    "A reader sees nothing there; the compiler sees a character, so that two names or strings can look the same and"
    " differ. Delete it, or write it as an escape if a string must hold it."
)
_LINE_END = (
    "A reader sees one line; for JavaScript, C# and others it ends here, and what looks like the rest of a comment can"
    " be code. Delete it, or write it as an escape if a string must hold it."
)
_WIDE = (
    "A reader sees a blank; the compiler need not take it for one: Python and C stop there, a shell makes it part of"
    " the word. Put a plain space in its place."
)
_PRIVATE_USE = (
    "No standard says what these characters show; in many fonts that is nothing. A program can read them back as data"
    " or code. Write them as escapes, or keep them in a file of their own."
)


def unseen(row: Row) -> Deceit | None:
    """Invisible characters in a line, with the severity of the worst."""
    found = [match.start() for match in re.finditer(f"[{INVISIBLE}]", row.text)]
    if not found:
        return None
    left = [index for index in _out_of_place(row.text, found) if not _is_harmless(row, index)]
    if not left:
        return None
    if _is_data(row.text, left):
        title = f"Hidden data: {len(left)} invisible characters, {named(row.text, left[:1])}"
        return Deceit(Severity.CRITICAL, title, f"{named(row.text, left)}. {_HIDDEN}")
    by_severity = {severity: index for index in reversed(left) for severity in [_severity(row, index)]}
    severity = min(by_severity, key=lambda each: each.rank)
    worst = by_severity[severity]
    more = f" and {len(left) - 1} more" if len(left) > 1 else ""
    ends_line = re.match(f"[{SEPARATORS}\x85]", row.text[worst])
    title = f"{'Hidden line end' if ends_line else 'Invisible character'}: {named(row.text, [worst])}{more}"
    return Deceit(severity, title, f"{named(row.text, left)}. {_LINE_END if ends_line else _UNSEEN}")


def wide_spaces(row: Row) -> Deceit | None:
    """Spaces that are not ASCII where a program's words are parted."""
    found = [match.start() for match in re.finditer(f"[{SPACES}]", row.text)]
    if not found or row.is_text:
        return None
    indentation = re.match(rf"\s*[{SPACES}]\s*", row.text)
    if indentation is None and (row.suffix in TEMPLATES or not row.looks_like_code):
        return None
    left = [index for index in found if row.place(index) is Place.CODE]
    if not left:
        return None
    more = f" and {len(left) - 1} more" if len(left) > 1 else ""
    title = f"Not a plain space: {named(row.text, left[:1])}{more}"
    return Deceit(Severity.MINOR, title, f"{named(row.text, left)}. {_WIDE}")


def private_use(row: Row) -> Deceit | None:
    """A long run of characters without a meaning."""
    run = re.search(rf"[{PRIVATE}]{{{LONGEST_PRIVATE_RUN + 1},}}", row.text)
    if run is None:
        return None
    indexes = list(range(*run.span()))
    title = f"{len(indexes)} private use characters in a row: {named(row.text, indexes[:1])}"
    return Deceit(Severity.MAJOR, title, f"{named(row.text, indexes)}. {_PRIVATE_USE}")


def _out_of_place(text: str, found: list[int]) -> list[int]:
    """Without those that a script or an emoji needs where they stand."""
    ordinary = re.compile(_ORDINARY)
    left, end = [], 0
    for index in found:
        if index >= end:
            match = ordinary.match(text, index)
            if match:
                end = match.end()
            else:
                left.append(index)
    return left


def _is_harmless(row: Row, index: int) -> bool:
    """What is in place for a reason that the characters beside it do not tell."""
    char = row.text[index]
    if char == _BOM:
        return index == 0 and row.number == 1
    if char == "\xad":
        return row.place(index) is Place.COMMENT and re.search(r"\w\xad\w", row.text[index - 1 : index + 2]) is not None
    return char in "\u061c\u200e\u200f" and row.has_right_to_left and not _splits_a_name(row, index)


def _is_data(text: str, indexes: list[int]) -> bool:
    """Whether they are so many that they can only be a message; C1 controls are a text in the wrong encoding."""
    run, last = 0, -1
    for index in indexes:
        run = 0 if "\x80" <= text[index] <= "\x9f" else run + 1 if index == last + 1 else 1
        last = index
        if run > LONGEST_RUN:
            return True
    return sum(bool(re.match(f"[{SELECTORS}{TAGS}]", text[index])) for index in indexes) > MOST_SELECTORS


def _severity(row: Row, index: int) -> Severity:
    char = row.text[index]
    if re.match(f"[{SEPARATORS}]", char) or (char == "\x85" and row.suffix in {".cs", ".csx"}):
        return _of_line_end(row, index)
    if re.match(f"[{MARKS}]", char):
        return Severity.CRITICAL if _splits_a_name(row, index) else Severity.MINOR
    if row.is_text:
        return _in_file_of_text(row, index)
    return {Place.CODE: _in_code, Place.STRING: _in_string, Place.COMMENT: _in_comment}[row.place(index)](row, index)


def _of_line_end(row: Row, index: int) -> Severity:
    if row.is_text:
        return Severity.MINOR
    hides = row.place(index) is Place.COMMENT and index + 1 < len(row.text.rstrip())
    return Severity.CRITICAL if hides else Severity.MAJOR


def _in_file_of_text(row: Row, index: int) -> Severity:
    """Minor, unless it makes two of an ASCII word in a file of data, such as the name of a package or a role."""
    is_word = row.place(index) is Place.STRING and all(
        re.match(_ASCII_WORD, char) for char in _neighbours(row.text, index)
    )
    return Severity.MAJOR if is_word and not re.match(_MILD, row.text[index]) else Severity.MINOR


def _in_code(row: Row, index: int) -> Severity:
    char = row.text[index]
    if re.match(f"[{FILLERS}]", char):
        return Severity.CRITICAL
    if (char == _BOM and index == 0) or "\x80" <= char <= "\x9f":
        return Severity.MAJOR
    before, after = _neighbours(row.text, index)
    return Severity.CRITICAL if re.match(_WORD, before) or re.match(_WORD, after) else Severity.MAJOR


def _in_string(row: Row, index: int) -> Severity:
    return Severity.MINOR if re.match(_MILD, row.text[index]) else Severity.MAJOR


def _in_comment(row: Row, index: int) -> Severity:
    """Minor, unless it makes the end of a comment of what is none, or the beginning."""
    return Severity.MAJOR if set(_neighbours(row.text, index)) == {"*", "/"} else Severity.MINOR


def _splits_a_name(row: Row, index: int) -> bool:
    """Whether it stands in code, between two ASCII characters of words."""
    if row.place(index) is not Place.CODE:
        return False
    return all(re.match(_ASCII_WORD, char) for char in _neighbours(row.text, index))


def _neighbours(text: str, index: int) -> tuple[str, str]:
    """The nearest visible characters on both sides, "" at an end of the line."""
    before = re.search(rf"([^{INVISIBLE}])[{INVISIBLE}]*\Z", text[max(0, index - 9) : index])
    after = re.match(rf"[{INVISIBLE}]*([^{INVISIBLE}])", text[index + 1 : index + 10])
    return before[1] if before else "", after[1] if after else ""
