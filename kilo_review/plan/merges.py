"""What of a merge is new: only lines that are as in none of its parents."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kilo_review.source.diff import Diff, Hunk, Line

    Region = tuple[int, int]

INHERITED = "as in the branch that is merged"


def inherited(diff: Diff, others: Sequence[Diff]) -> Callable[[Hunk], bool]:
    """A test for hunks of a merge: whether all that they change is as in one of the other parents.

    Args:
        diff: from the first parent to the merge.
        others: from each further parent to the merge.
    """
    regions = [_regions_by_path(other, {file.path for file in diff.files}) for other in others]

    def test(hunk: Hunk) -> bool:
        changed = list(_regions(diff, hunk))
        return any(not _touch(changed, by_path.get(hunk.path, [])) for by_path in regions)

    return test


def _regions_by_path(diff: Diff, paths: set[str]) -> dict[str, list[Region]]:
    """What differs from that parent; a file that is not here is as it was there."""
    return {
        file.path: [region for hunk in file.hunks for region in _regions(diff, hunk)] or [EVERYTHING]
        for file in diff.files
        if file.path in paths
    }


EVERYTHING = (0, 1 << 62)
"""For a file that differs without lines, such as in its mode."""
FURTHEST = 64
"""Lines that are looked at beside a run; one that can slide further counts as if it could slide anywhere."""


def _regions(diff: Diff, hunk: Hunk) -> Iterator[Region]:
    """Yield runs of changed lines on the new side, in halves of lines, so that a removal has a place between two lines.

    Among equal lines git could have put a run elsewhere, and does so where another change is near: a run has all places
    that it can slide to.
    """
    diff.check()
    lines = diff.lines(hunk)
    above, first = hunk.new_start - 1, 0
    while first < len(lines):
        if lines[first].kind == " ":
            above = lines[first].new or above
            first += 1
            continue
        own, last, end = set[str](), above, first
        while end < len(lines) and lines[end].kind != " ":
            own.add(lines[end].text)
            last = lines[end].new or last
            end += 1
        yield 2 * above + 1 - _slide(lines, first - 1, -1, own), 2 * last + 1 + _slide(lines, end, 1, own)
        above, first = last, end


def _slide(lines: Sequence[Line], at: int, step: int, own: set[str]) -> int:
    """Return by how many halves of lines a run can slide at most over the lines beside it.

    Args:
        lines: of the hunk.
        at: the nearest of them.
        step: 1 for those below, -1 for those above.
        own: the texts of the run's lines.
    """
    for steps in range(FURTHEST):
        if not 0 <= at < len(lines):
            break  # what follows is not in the hunk
        if lines[at].kind != "-" and lines[at].text not in own:
            return 2 * steps
        at += step
    return EVERYTHING[1]


def _touch(some: Sequence[Region], others: Sequence[Region]) -> bool:
    return any(one[0] <= other[1] and other[0] <= one[1] for one in some for other in others)
