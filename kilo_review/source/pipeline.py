"""One run of a CI system, in the words that all systems share."""

from __future__ import annotations

from typing import NamedTuple

PLAIN_DEPTH = "the whole history in the checkout (git fetch --unshallow)"


class Pipeline(NamedTuple):
    """One run of a CI system.

    Attributes:
        system: `github`, `gitea`, `gitlab`, `bitbucket`, `azure`, `jenkins`, `woodpecker`, …; "" where none is known.
        event: the system's own word for why it runs.
        is_proposal: it runs for a proposed change, which must not govern its own review; also where that is in doubt.
        is_request: it runs for a pull or merge request, which is reviewed against its target branch.
        number: of the pull or merge request; "" if there is none.
        branch: the branch that was pushed or is built, without `refs/heads/`; "" if nothing tells.
        tag: the tag that was pushed or is built; "" if there is none.
        base_branch: the branch that it is proposed for, as `branch`.
        base: the commit that the system names as the other end; often stale, sometimes zeros.
        head: the commit that is proposed or was pushed; "" for HEAD, or for what `head_refs` name.
        merge: the commit that the system made of both, where it checks out such a one.
        head_refs: what to fetch where `head` is missing.
        default_branch: the default branch; "" if nothing tells.
        depth: the setting that gives a whole history.
        problem: why nothing tells what is to be reviewed; "" where something does.
    """

    system: str
    event: str
    is_proposal: bool = False
    is_request: bool = False
    number: str = ""
    branch: str = ""
    tag: str = ""
    base_branch: str = ""
    base: str = ""
    head: str = ""
    merge: str = ""
    head_refs: tuple[str, ...] = ()
    default_branch: str = ""
    depth: str = PLAIN_DEPTH
    problem: str = ""
