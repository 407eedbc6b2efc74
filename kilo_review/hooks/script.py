"""The shell scripts that git runs: they find the program again, or let the commit pass if it is gone."""

from __future__ import annotations

import shlex

MARKER = "# kilo-review hook"
"""How our own scripts are told from others."""
SAVED = ".before-kilo-review"
"""What a hook that was there before is renamed to."""

_BESIDE = '"$0' + SAVED + '"'
_OF_THE_REPOSITORY = '"$(git rev-parse --git-common-dir)/hooks/$hook"'

_REVIEW = """\
#!/bin/sh
{marker}, version 1: written by `kilo-review install{flag}`, taken away by `kilo-review uninstall{flag}`.
# After an upgrade that moves the interpreter below, run `kilo-review install{flag}` again.
hook={hook}
python={python}
before={before}

# Reviewed once, however many of these scripts lead to each other; $PWD tells a commit in another repository.
mark=":$hook=$PWD:"
case "${{_KILO_REVIEW_IN-}}" in *"$mark"*) again=yes ;; *) again= ;; esac
_KILO_REVIEW_IN="${{_KILO_REVIEW_IN-}}$mark"
export _KILO_REVIEW_IN

# Git's lines on standard input are for the hook before and for us.
input=
if [ "$hook" = pre-push ] && [ ! -t 0 ]; then
    input=$(cat; echo x)
    input=${{input%x}}
fi
feed() {{
    if [ "$hook" = pre-push ]; then
        printf %s "$input" 2>/dev/null | "$@"
    else
        "$@"
    fi
}}

if [ -f "$before" ] && [ -x "$before" ] && ! [ "$before" -ef "$0" ]; then
    feed "$before" "$@" || exit
fi
[ -z "$again" ] || exit 0

missing() {{
    echo "kilo-review: not reviewed: $1. Repair: kilo-review install{flag}; or remove $0" >&2
    exit 0
}}
[ -x "$python" ] || missing "$python is gone"
feed "$python" -P -m kilo_review hook "$hook" "$@"
code=$?
if [ "$code" -eq 1 ]; then
    # Blocked, or is the program gone from the interpreter? It costs a look only now.
    find='import importlib.util, sys; sys.exit(importlib.util.find_spec("kilo_review") is None)'
    "$python" -P -c "$find" || missing "$python has no kilo-review"
fi
exit "$code"
"""

_FORWARD = """\
#!/bin/sh
{marker}, version 1: written by `kilo-review install --global`, taken away by `kilo-review uninstall --global`.
# A global core.hooksPath switches the hooks of every repository off; this one hands over to the repository's own.
own="$(git rev-parse --git-common-dir)/hooks/{hook}"
if [ -f "$own" ] && [ -x "$own" ] && ! [ "$own" -ef "$0" ]; then
    exec "$own" "$@"
fi
"""


def review(hook: str, interpreter: str, *, for_all: bool = False, hands_over: bool = False) -> str:
    """The script that reviews.

    Args:
        hook: its name.
        interpreter: absolute path of the Python that has the program.
        for_all: it was installed with --global.
        hands_over: the hook before it is the repository's own; else the one that it took the place of.
    """
    return _REVIEW.format(
        marker=MARKER,
        flag=" --global" if for_all else "",
        hook=hook,
        python=shlex.quote(interpreter),
        before=_OF_THE_REPOSITORY if hands_over else _BESIDE,
    )


def forward(hook: str) -> str:
    """The script that only hands over to the repository's own hook."""
    return _FORWARD.format(marker=MARKER, hook=hook)


def is_ours(data: bytes) -> bool:
    """Whether a hook's content is one of these scripts."""
    return b"\n" + MARKER.encode() in data[:200]
