"""Words of the languages that are parsed, by which two functions that both have them share no name.

Sources: the chapters on keywords of each language's reference.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

_C = (
    "auto break case char const continue default do double else enum extern float for goto if inline int long register "
    "restrict return short signed sizeof static struct switch typedef union unsigned void volatile while"
)
_JAVASCRIPT = (
    "await break case catch class const continue debugger default delete do else enum export extends false finally for "
    "function if implements import in instanceof interface let new null package private protected public return static "
    "super switch this throw true try typeof var void while with yield"
)
RESERVED = {
    language: frozenset(words.split())
    for language, words in {
        "bash": "if then else elif fi case esac for select while until do done in function",
        "c": _C,
        "cpp": _C + " bool catch class constexpr delete explicit export false friend mutable namespace new nullptr "
        "operator private protected public template this throw true try typeid typename using virtual",
        "csharp": "abstract as base bool break byte case catch char checked class const continue decimal default "
        "delegate do double else enum event explicit extern false finally fixed float for foreach goto if implicit in "
        "int interface internal is lock long namespace new null object operator out override params private protected "
        "public readonly ref return sbyte sealed short sizeof static string struct switch this throw true try typeof "
        "uint ulong unchecked unsafe ushort using virtual void volatile while",
        "go": "break case chan const continue default defer else fallthrough for func go goto if import interface map "
        "package range return select struct switch type var",
        "java": "abstract assert boolean break byte case catch char class const continue default do double else enum "
        "extends false final finally float for goto if implements import instanceof int interface long native new null "
        "package private protected public return short static strictfp super switch synchronized this throw throws "
        "transient true try void volatile while",
        "javascript": _JAVASCRIPT,
        "kotlin": "as break class continue do else false for fun if in interface is null object package return super "
        "this throw true try typealias typeof val var when while",
        "php": "abstract and array as break callable case catch class clone const continue declare default do echo "
        "else elseif empty enddeclare endfor endforeach endif endswitch endwhile extends false final finally fn for "
        "foreach function global goto if implements include instanceof insteadof interface isset list match namespace "
        "new null or parent print private protected public readonly require return self static switch this throw trait "
        "true try unset use var while xor yield",
        "python": "False None True and as assert async await break class cls continue def del elif else except finally "
        "for from global if import in is lambda nonlocal not or pass raise return self try while with yield",
        "ruby": "alias and begin break case class def do else elsif end ensure false for if in module next nil not or "
        "redo rescue retry return self super then true undef unless until when while yield",
        "rust": "Self as async await break const continue crate dyn else enum extern false fn for if impl in let loop "
        "match mod move mut pub ref return self static struct super trait true type unsafe use where while",
        "swift": "Any Self as associatedtype break case catch class continue default defer deinit do else enum "
        "extension fallthrough false fileprivate for func guard if import in init inout internal is let nil operator "
        "private protocol public repeat rethrows return self static struct subscript super switch throw throws true "
        "try typealias var where while",
        "tsx": _JAVASCRIPT,
        "typescript": _JAVASCRIPT,
    }.items()
}
"""By language: what can be no name; also the names that Python's methods give to what they belong to."""
_AS_NAME = r"(?:\.|::|->|\$(?!this\b)|`|\bdef\s|\bfunc\s|\bfun\s|\bfunction\s)\s*(\w+)|(\w+)\s*[(:]"
"""Where a reserved word can be a name: of a member, a variable or a method, and before brackets or a colon."""
_WITH_BRACKETS = frozenset({
    *("and", "assert", "await", "case", "catch", "default", "do", "echo", "elif", "elsif", "else", "except"),
    *("false", "False", "fixed", "finally", "fn", "for", "foreach", "func", "function", "if", "in", "isset"),
    *("lambda", "lock", "None", "not", "null", "or", "print", "raise", "require", "return", "sizeof", "super"),
    *("switch", "synchronized", "throw", "true", "True", "try", "typeof", "until", "using", "when", "while"),
    *("with", "yield"),
})  # fmt: skip
"""Reserved words before which no name ends, though brackets or a colon follow them."""
WITHOUT_CASE = frozenset({"php"})
"""In these languages names of functions and classes are the same in small letters and in capitals."""


def no_names(language: str | None, words: AbstractSet[str], text: str) -> AbstractSet[str]:
    """Return those words of a function that can be no name that it uses.

    Args:
        language: what it is written in; None if that is not known.
        words: all that it has.
        text: the function.
    """
    reserved = RESERVED.get(language or "", frozenset()) & words
    if not reserved:
        return reserved
    named = {
        member or heading for member, heading in re.findall(_AS_NAME, text) if member or heading not in _WITH_BRACKETS
    }
    return reserved - named
