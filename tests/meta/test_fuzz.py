"""Some tens of inputs for each target of `make fuzz`: all is well; and it would notice if something were not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase

from fuzz import child, undirected
from fuzz.__main__ import read_log
from fuzz.findings import shrunk
from fuzz.target import DRAWN, RAW
from fuzz.targets import PLACES, anchors, displays, fixes, load, patches
from kilo_review import config
from kilo_review.bench import case
from kilo_review.core import front_matter
from kilo_review.core.errors import BadReplyError
from kilo_review.judge import baseline, parse, remedy, suppress
from kilo_review.ledger import codec
from kilo_review.ledger.records import Ledger
from kilo_review.models import events, faults, locality, ollama
from kilo_review.plan import rules
from kilo_review.plan.syntax import Syntax
from kilo_review.sanitize import model_input
from kilo_review.source import diff, notebook, patch
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", PLACES)
def test_what_must_be_true_is_true_of_some_tens_of_inputs(name: str) -> None:
    target = load(name)
    target.test(database=None, derandomize=True)()
    run = target.run()
    for seed in target.seeds:
        run(RAW + seed)
    assert target.oracle.endswith(".")


# What it would notice


def gullible(*said: str) -> list[parse.Claim]:
    try:
        return STRICT(*said)
    except BadReplyError:
        return []


STRICT, ENTRY = parse.parse, baseline._entry
DEFECTS = [
    ("address", locality, "is_loopback", lambda _address: True),
    ("anchor", anchors, "fold", lambda text: text[:1]),
    ("answer", remedy, "printable", "{}\0".format),
    ("baseline", baseline, "_entry", lambda row: ENTRY(row)._replace(reason="")),
    ("case", case, "_quoted", '"{}"'.format),
    ("diff-tree", diff, "decode_path", lambda raw: raw.decode("ascii", "replace")),
    ("display", displays, "for_terminal", str),
    ("fault", faults, "one_line", str),
    ("fix", fixes, "patch", lambda *given: remedy.patch(*given).replace(b"\n+", b"\n+ ")),
    ("head", front_matter, "_mapping", lambda _head, _origin: {1: 2}),
    ("ignore", suppress, "targets_of", lambda ignores: {line: line - 1 for line in ignores}),
    ("inert", model_input, "_TOKEN", r"(?=(<\|))."),
    ("known", baseline.Known, "mark", lambda _known, finding: finding),
    ("ledger", Ledger, "verdict", lambda _ledger, _key, _begin: []),
    ("ledger-rows", codec, "_check", lambda _values, _kinds: None),
    ("notebook", notebook, "_line", lambda text, **_: text[:1]),
    ("ollama-stream", ollama, "count_of", lambda value: value),
    ("openai-stream", events, "_take_choice", lambda _reply, _event: True),
    ("parser", Syntax, "in_strings", lambda *_: []),
    ("patch", patch, "_unquoted", bytes),
    ("patch-git", patches, "parse_patch", lambda data: diff.Diff(data, ())),
    ("reply", parse, "parse", gullible),
    ("rule", rules, "LONGEST_NAME", 0),
    ("settings", config, "USER_ONLY", set()),
]


@pytest.mark.parametrize(("name", "where", "what", "broken"), DEFECTS, ids=[defect[0] for defect in DEFECTS])
def test_a_broken_program_is_found_out(
    monkeypatch: pytest.MonkeyPatch, name: str, where: object, what: str, broken: object
) -> None:
    target = load(name)
    monkeypatch.setattr(where, what, broken)
    with pytest.raises((Exception, BaseExceptionGroup)):
        target.test(database=None, derandomize=True, phases=[Phase.generate], max_examples=600)()


def test_each_target_has_such_a_defect() -> None:
    assert [defect[0] for defect in DEFECTS] == list(PLACES)


# The command

WAYS = [
    pytest.param((), marks=pytest.mark.skipif(find_spec("atheris") is None, reason="needs atheris"), id="atheris"),
    pytest.param(("--undirected",), id="undirected"),
]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the program that may be broken."""
    for folder in ("kilo_review", "fuzz"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def fuzz(clone: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "fuzz", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(clone)}
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=110)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.long
def test_a_defect_is_told_with_the_input_that_shows_it_until_it_is_mended(clone: Path, way: tuple[str, ...]) -> None:
    place = clone / "kilo_review" / "sanitize" / "model_input.py"
    right = place.read_text()
    place.write_text(right.replace("return _broken(for_terminal(", "return str(for_terminal("))
    asked = ("--target", "inert", "--target", "display", "--seconds", "2", "--seed", "5", *way)
    code, said = fuzz(clone, *asked)
    assert code == 1, said
    assert re.search(r"^2 targets, 1 s each; seed 5; ", said, re.MULTILINE)
    assert re.search(r"^  inert +[1-9][\d,]*( +[\d,]+){3} +[1-9]$", said, re.MULTILINE), said
    assert re.search(r"^  display +[1-9][\d,]*( +[\d,]+){3} +0$", said, re.MULTILINE), said
    assert "python -m fuzz --replay FILE" in said
    found = re.findall(r"^  (\.cache/fuzz/inert/finding-\w+): AssertionError", said, re.MULTILINE)
    code, again = fuzz(clone, "--replay", found[0])
    assert (code, "in check_inert" in again) == (1, True)
    place.write_text(right)
    assert fuzz(clone, "--replay", found[0])[0] == 0
    code, said = fuzz(clone, *asked)
    assert (code, "no findings" in said) == (0, True), said


@pytest.mark.long
def test_a_fuzzer_that_does_not_run_is_no_clean_result(clone: Path) -> None:
    (clone / "kilo_review" / "sanitize" / "model_input.py").write_text("raise OSError('no such thing')\n")
    code, said = fuzz(clone, "--target", "inert", "--seconds", "1", "--seed", "5")
    assert code == 1
    assert "the fuzzer itself ended with 1: OSError: no such thing" in said


def test_an_input_that_takes_too_long_or_too_much_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "timeout-0123").touch()
    log = "#16\tpulse  cov: 3 ft: 21 corp: 9/88b lim: 8192\nALARM: working on the last Unit for 21 seconds\n"
    result = read_log("patch", tmp_path, log, 30, 70)
    assert (result.executions, result.corpus, result.features) == (16, 9, 21)
    assert result.findings == ((tmp_path / "timeout-0123", "libFuzzer stopped at it: timeout"),)


def test_without_atheris_the_seed_decides_the_inputs() -> None:
    target = load("patch")
    beginning = [RAW + seed for seed in target.seeds]
    inputs = [list(islice(undirected.inputs_of(target, beginning, seed), 200)) for seed in (1, 1, 2)]
    assert inputs[0] == inputs[1] != inputs[2]
    assert inputs[0][: len(beginning)] == beginning
    assert {data[:1] for data in inputs[0]} == {RAW, DRAWN}


def test_an_input_is_made_small() -> None:
    assert shrunk(RAW + b"a" * 500 + b"x" + b"b" * 300, lambda data: b"x" in data) == RAW + b"x"


def test_a_dictionary_is_in_libfuzzers_form() -> None:
    assert child.dictionary(load("patch")._replace(words=(b'a"\n', b"", b"x" * 61))) == ['"\\x61\\x22\\x0a"\n']
