"""What of a merge is new: only lines that are as in none of its parents."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

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


def _regions(diff: Diff, hunk: Hunk) -> Iterator[Region]:
    """Yield runs of changed lines on the new side, in halves of lines, so that a removal has a place between two lines.

    Among equal lines git could have put a run elsewhere, and does so where another change is near: a run has all places
    that it can slide to.
    """
    diff.check()
    lines = diff.lines(hunk)
    first = 0
    while first < len(lines):
        if lines[first].kind == " ":
            first += 1
            continue
        end = next((at for at in range(first, len(lines)) if lines[at].kind == " "), len(lines))
        above = next((line.new for line in reversed(lines[:first]) if line.new), hunk.new_start - 1)
        last = next((line.new for line in reversed(lines[first:end]) if line.new), above)
        own = {line.text for line in lines[first:end]}
        yield (
            2 * above + 1 - _slide(reversed(lines[:first]), own),
            2 * last + 1 + _slide(lines[end:], own),
        )
        first = end


def _slide(beside: Iterable[Line], own: set[str]) -> int:
    """Return by how many halves of lines a run can slide at most over the lines beside it, nearest first."""
    steps = 0
    for line in beside:
        if line.kind != "-" and line.text not in own:
            return steps
        steps += 2
    return EVERYTHING[1]  # what follows is not in the hunk


def _touch(some: Sequence[Region], others: Sequence[Region]) -> bool:
    return any(one[0] <= other[1] and other[0] <= one[1] for one in some for other in others)
