"""Fixes: a patch that is rendered is one that git applies, and does what the model proposed and nothing else."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import strategies as st

from fuzz.changes import NAMES
from fuzz.strategies import hostile_text, line_text, one_of_these
from fuzz.target import property_of
from kilo_review.core.finding import fold
from kilo_review.judge.remedy import Explanation, patch
from kilo_review.source.diff import decode_path

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

CODE = (
    "def f():",
    "    return 1",
    "\treturn 1",
    "x = 1",
    "",
    "}",
    "--- a/x",
    "\\ No newline at end of file",
    "é",
    "@@ -1 +1 @@",
)
STAMPED = (b"x 2010-07-05 19:41:17.620000023 -0500", b"a\tb", b"x ", b"b c/d e")
ENDINGS = ("\n", "\n", "\n", "\r\n", "\r")


class Proposal(NamedTuple):
    """A file, and what is to become of it."""

    path: bytes
    content: bytes
    explanation: Explanation
    line: int


@st.composite
def proposals(draw: DrawFn) -> Proposal:
    """Files and fixes, most of which quote the file."""
    common, rare = one_of_these(CODE), line_text
    line = st.integers(0, 20).flatmap(lambda chance: common if chance else rare)
    ending = draw(st.sampled_from(ENDINGS))
    lines = [text + ending for text in draw(st.lists(line, max_size=8))]
    content = "".join(lines).removesuffix(draw(st.sampled_from(["", "\n"])))
    begin = draw(st.integers(0, len(lines)))
    quoted = "".join(lines[begin : begin + draw(st.integers(1, 3))])
    indented = "".join(f"  {row}\n" for row in quoted.split("\n"))
    remove = draw(one_of_these([*[quoted] * 6, indented, quoted.strip()]) | hostile_text)
    write = draw(st.lists(line, max_size=3).map("\n".join) | st.just(remove))
    path = draw(one_of_these((*NAMES, *STAMPED)) | st.binary(min_size=1, max_size=9).filter(_is_name))
    return Proposal(
        path, content.encode("utf-8", "surrogatepass"), Explanation("c", "", remove, write), draw(st.integers(0, 9))
    )


def _is_name(path: bytes) -> bool:
    parts = path.lower().split(b"/")
    return b"\0" not in path and not {b"", b".", b"..", b".git"} & set(parts) and b"git~1" not in parts


def check_fix(proposal: Proposal) -> None:
    """A patch is accepted by git, and leaves the file with the quoted lines replaced by the written ones."""
    path, content, explanation, line = proposal
    rendered = patch(decode_path(path), content, explanation, line)
    if not rendered:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / decode_path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        done = subprocess.run(("git", "apply", "-"), check=False, cwd=folder, input=rendered, capture_output=True)
        assert done.returncode == 0, (done.stderr, rendered)
        after = file.read_bytes() if file.exists() else b""
    assert after != content
    assert _is_promised(content.decode(), after.decode(), explanation), (after, rendered)


def _is_promised(before: str, after: str, explanation: Explanation) -> bool:
    """Whether a run of lines that fold to the quoted ones has become the written ones, but for their indentation."""
    old, new = _lines(before), _lines(after)
    wanted = [fold(row) for row in explanation.remove.split("\n") if row.strip()]
    written = [row.strip() for row in explanation.write.split("\n")] if explanation.write else []
    for at in range(len(old) - len(wanted) + 1):
        rest = len(old) - at - len(wanted)
        middle = new[at : len(new) - rest]
        if (
            [fold(row) for row in old[at : at + len(wanted)]] == wanted
            and new == [*old[:at], *middle, *old[len(old) - rest :]]
            and [row.strip() for row in middle] == written
        ):
            return True
    return False


def _lines(text: str) -> list[str]:
    return text.split("\n")[:-1] + ([last] if (last := text.rsplit("\n", maxsplit=1)[-1]) else [])


def _proposal(raw: bytes) -> Proposal:
    content, remove, write = [*raw.split(b"\x1e"), b"", b""][:3]
    return Proposal(
        b"a.py", content, Explanation("c", "", remove.decode("utf-8", "replace"), write.decode("utf-8", "replace")), 1
    )


TARGETS = {
    "fix": property_of(
        check_fix,
        proposals(),
        read=_proposal,
        seeds=(b"def f():\n    return 1\n\x1e  return 1\x1ereturn 2", b"x\r\ny\r\n\x1ey\x1ez"),
        words=(b"\r\n", b"\x1e", b"    return 1\n", b"\\ No newline", b"\xe2\x80\xa8"),
    ),
}
