"""What of a merge is new: only lines that are as in none of its parents."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kilo_review.source.diff import Diff, Hunk

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
    """Runs of changed lines on the new side, in halves of lines, so that a removal has a place between two lines."""
    diff.check()
    last, begin, is_run = hunk.new_start - 1, 0, False
    for line in diff.lines(hunk):
        if line.kind != " " and not is_run:
            begin, is_run = last, True
        if line.kind == " " and is_run:
            yield 2 * begin + 1, 2 * last + 1
            is_run = False
        last = line.new or last
    if is_run:
        yield 2 * begin + 1, 2 * last + 1


def _touch(some: Sequence[Region], others: Sequence[Region]) -> bool:
    return any(one[0] <= other[1] and other[0] <= one[1] for one in some for other in others)
