"""For the logs of CI systems, which obey certain lines: to write such a line, and to write none by accident.

The rules are those of the runners: actions/runner `ActionCommand.cs` (a line that begins with `::` after white space; a
line with `##[` anywhere), nektos/act `command.go`, which Gitea and Forgejo run (both only where the line begins),
azure-pipelines-agent `Command.cs` (`##vso[` anywhere), TeamCity's service messages (`##teamcity[` anywhere), GitLab's
sections (`section_start:1:name`, a carriage return and an escape sequence, neither of which is left).
"""

from __future__ import annotations

import re

from kilo_review.sanitize.terminal import for_terminal

# Texts, since `re` compiles and keeps them when they are first used.
_AT_LINE_START = r"(?m)^([^\S\n]*)(?=::)"
_ANYWHERE = r"(##[A-Za-z]*)(?=\[)"


def command_data(text: str) -> str:
    """What a workflow command says: the part after the second `::`."""
    return for_terminal(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def command_property(text: str) -> str:
    """The value of a workflow command's property, such as `file` or `title`."""
    return command_data(text).replace(":", "%3A").replace(",", "%2C")


def for_log(text: str) -> str:
    """Lines that no CI system takes for a command; a backslash stands where one began.

    To be used on whole lines: what is put in front of the result can make a command of it.
    """
    return without_commands(for_terminal(text))


def without_commands(text: str) -> str:
    """The same for lines that are fit for a terminal already, colours included."""
    return re.sub(_AT_LINE_START, r"\1\\", re.sub(_ANYWHERE, r"\1\\", text))
