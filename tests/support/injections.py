"""The corpus of injections (tests/corpus/injections), and how one becomes a commit: in code, names, rules, messages."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repo

CORPUS = Path(__file__).parents[1] / "corpus" / "injections"
TOKENS = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|begin_of_text|>"),
    *("<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>", "<pad>", "<unk>", "<mask>", "<unused42>", "<s>", "</s>"),
    *("<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>", '<|"|>', "<|python_tag|>", "<|end|>", "<|user|>"),
    *("<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>", "<\uff5cbegin\u2581of\u2581sentence\uff5c>"),
    *("<|START_OF_TURN_TOKEN|>", "<BOS_TOKEN>", "<EOS>", "<|start|>", "<|message|>", "<|constrain|>", "<im_end>"),
    *("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[SYSTEM_PROMPT]", "[/THINK]", "[TOOL_CALLS]", "[gMASK]", "<sop>"),
    *("[|user|]", "[|endofturn|]", "]~b]", "]~!b[", "[e~[", "<seed:bos>", "<minimax:tool_call>", "<think>", "</think>"),
    *("<tool_call>", "</tool_response>", "<fim_prefix>", "<file_sep>", "<repo_name>", "<issue_start>", "<SPECIAL_12>"),
    *("<extra_id_0>", "<|start_of_role|>", "[EOT]", "<MID>"),
)
"""Control tokens of the models that people run at home."""
HIDING = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\U000e0000-\U000e007f]"
"""Characters that nobody sees, or that a terminal obeys."""
INDENTED = "".join(f"    x{number} = {number}\n" for number in range(20))


@dataclass(frozen=True)
class Injection:
    """One text, and where it is planted."""

    family: str
    name: str
    text: str
    where: tuple[str, ...] = ()

    @property
    def twin(self) -> Injection:
        """The same shape, and no word."""
        return replace(self, text=re.sub(r"[^ \n/]", "x", self.text))


def corpus() -> list[Injection]:
    """All injections."""
    found = []
    for path in sorted(CORPUS.glob("*.toml")):
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["injection"]
        found += [Injection(path.stem, each["name"], each["text"], tuple(each.get("where", ()))) for each in entries]
    return found


def plant(repo: Repo, injection: Injection) -> None:
    """One commit that holds the injection at all its places; what must be there before it is in the commit before."""
    text = injection.text
    for place in injection.where:
        BEFORE.get(place, nothing)(repo, text)
    repo.commit("before")
    for place in injection.where:
        CHANGED.get(place, nothing)(repo, text)
    repo.stage("plain.py", "a = 1 / 0\n")
    name = " ".join(re.sub(HIDING + "|[<>\n]", " ", text).split()).strip(" .,:;<>\"\\'")[:60] or "x"
    branch = re.sub(r"[^\w-]+", "-", name).strip("-.") or "x"
    repo.git("checkout", "-q", "-b", branch)
    repo.git("-c", f"user.name={name}", "commit", "-q", "--cleanup=verbatim", "-m", text)


def nothing(repo: Repo, text: str) -> None:
    """For places that need no file."""


def commented(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.split("\n"))


def signature(text: str, value: int) -> str:
    return f'def f(a="""{text}"""):\n{INDENTED}    return {value}\n'


def heading(text: str, value: int) -> str:
    return f"{text.splitlines()[0]}\n{INDENTED}    value {value}\n"


def named(repo: Repo, text: str) -> None:
    repo.write(f"{text}.txt", "x = 1 / 0\n")
    repo.git("--literal-pathspecs", "add", "-f", "--", f"{text}.txt")  # a name may begin with a colon


def link(repo: Repo, text: str) -> None:
    (repo.path / "link").symlink_to(text)
    repo.git("add", "link")


BEFORE: dict[str, Callable[[Repo, str], object]] = {
    "removed": lambda repo, text: repo.stage("removed.txt", f"{text}\nend\n"),
    "heading": lambda repo, text: repo.stage("heading.txt", heading(text, 1)),
    "signature": lambda repo, text: repo.stage("signature.py", signature(text, 1)),
    "rule": lambda repo, text: repo.stage(".kilo-review/rules/planted.md", text),
    "agents": lambda repo, text: repo.stage("AGENTS.md", text),
    "rule_name": lambda repo, text: repo.stage(f".kilo-review/rules/{text}.md", "Keep it simple.\n"),
}
CHANGED: dict[str, Callable[[Repo, str], object]] = {
    "comment": lambda repo, text: repo.stage("comment.py", f"x = 0\n{commented(text)}y = 1 / x\n"),
    "string": lambda repo, text: repo.stage("string.py", f'x = """{text}"""\ny = 1 / len(x)\n'),
    "text": lambda repo, text: repo.stage("text.txt", f"{text}\n"),
    "removed": lambda repo, _text: repo.stage("removed.txt", "end\n"),
    "heading": lambda repo, text: repo.stage("heading.txt", heading(text, 2)),
    "signature": lambda repo, text: repo.stage("signature.py", signature(text, 2)),
    "path": named,
    "link": link,
}
