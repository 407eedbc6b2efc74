"""The table of failures as docs/reliability.md has it, and the catalogue that it is held against.

`python -m tests.reliability.table` writes the table into the document.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.reliability import test_answers as test_reliability_answers
from tests.reliability import test_server as test_reliability_server
from tests.reliability import test_streams as test_reliability_streams

if TYPE_CHECKING:
    from types import ModuleType

    from tests.reliability.rows import Row

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
HEAD = "| test | what happens | outcome | exit | what is printed |\n| --- | --- | --- | --- | --- |"
FAILURES = {
    1: "nobody listens",
    2: "somebody else listens",
    3: "a proxy is in between",
    4: "localhost is ::1",
    5: "a redirect",
    6: "the model, or the server, is on another machine",
    7: "there is no such model",
    8: "no model is loaded",
    9: "a token is wanted",
    10: "the model is being loaded",
    11: "the model is slow",
    12: "the server is busy",
    13: "the model does not fit into memory",
    14: "the model's process crashes",
    15: "the model is put out of memory",
    16: "the question is too long, and the server says so",
    17: "the question is too long, and the server cuts it in silence",
    18: "the answer is cut at its limit",
    19: "the answer ends early",
    20: "the answer stops coming",
    21: "thinking stands in the answer",
    22: "the answer stands in the thinking",
    23: "the answer is empty",
    24: "the form is ignored",
    25: "the model repeats itself",
    26: "the form and thinking do not go together",
    27: "the form is refused",
    28: "a finding names a place that there is not",
    29: "the change gives orders to the model",
    30: "bytes that are no text, or half a character",
    31: "more than anybody reads",
}
"""By the numbers of the catalogue."""
FORMS = {
    *("cut", "dripped", "flooded", "gzip bomb", "wrong content type", "half a multibyte character", "U+2028"),
    *("SSE comments", "CRLF", "200 with an error body", "captive portal", "JSON 10,000 levels deep", "NaN"),
    *("duplicate keys", "a number as a string", "endless whitespace", "repetition loop"),
}
"""Ways to spoil an answer."""
KNOWN = {
    "ollama": (
        *(2605, 3839, 4446, 8003, 8006, 8185, 8325, 8461, 9016, 11545, 12436, 14645, 14850, 15260, 15502),
        *(17427, 17889, 18567),
    ),
    "lmstudio": (189, 546, 1143, 1698, 1773, 1971, 1990, 2256, 2322, 2339, 2403),
    "llama.cpp": (12276, 19051, 20345, 22537, 23320, 26508, 27087),
    "vllm": (45592, 48863),
    "OllamaSharp": (245,),
    "lmstudio-python": (130,),
    "llguidance": (162,),
}
"""Issues of the servers, and of programs that ask them, by their numbers."""
CATALOGUE = {f"E{number}" for number in FAILURES} | FORMS | {f"{of}#{n}" for of, ns in KNOWN.items() for n in ns}


class Part(NamedTuple):
    """A table, under its heading."""

    title: str
    module: ModuleType
    rows: tuple[Row, ...]


class Other(NamedTuple):
    """A failure whose test is at home elsewhere: in which file, and its name."""

    file: str
    test: str
    what: str
    outcome: str
    exit: int
    says: str = ""
    ids: tuple[str, ...] = ()


PARTS = (
    Part(
        "Nobody is there, somebody else is, or the server cannot", test_reliability_server, test_reliability_server.ROWS
    ),
    Part(
        "The question is too long, or the answer does not come through",
        test_reliability_streams,
        test_reliability_streams.ROWS,
    ),
    Part("The answer is not what was asked for", test_reliability_answers, test_reliability_answers.ROWS),
)
ELSEWHERE = (
    Other(
        "e2e/test_models_command.py",
        "test_the_usual_ports_are_those_that_auto_tries",
        "llama-server has moved to another port: both are asked",
        "reviewed",
        0,
        ids=("llama.cpp#26508",),
    ),
    Other(
        "unit/models/test_locality.py",
        "test_a_refused_address",
        "The host name of the base URL is not known",
        "not reviewed",
        3,
        "the host name 'NAME' does not resolve (…). Use 127.0.0.1 for a server on this machine",
    ),
    Other(
        "unit/models/test_locality.py",
        "test_a_host_is_allowed_by_its_very_name_and_over_tls_alone",
        "A host that you have allowed would be asked without encryption",
        "not reviewed",
        3,
        "HOST is not this machine, and over http the code could be read on its way; nothing was sent. Use https, or "
        "allow it in your own settings, as well (allow_http_hosts)",
    ),
    Other(
        "unit/models/test_openai_refusals.py",
        "test_a_refusal_of_the_model_is_told",
        "The model refuses to answer (`refusal`)",
        "not reviewed",
        3,
        "the model refused to answer (…). Another model may do better (docs/models.md)",
    ),
    Other(
        "unit/models/test_openai_refusals.py",
        "test_an_answer_that_is_withheld_by_a_filter_is_told",
        "A filter of the server withholds the answer (`finish_reason: content_filter`)",
        "not reviewed",
        3,
        "a content filter of the server withheld the model's answer, or a part of it. Switch the filter off in the server's "
        "settings, or choose another model",
    ),
    Other(
        "unit/models/test_openai_refusals.py",
        "test_an_answer_in_the_form_of_completions_is_told",
        "The server answers in the form of `/v1/completions`",
        "not reviewed",
        3,
        "the server at URL answers as /completions does, with a text instead of a message. A server for /chat/completions is "
        "needed: a newer version of this one may be, or another one",
    ),
    Other(
        "unit/models/test_tls.py",
        "test_any_other_certificate_is_refused_and_nothing_is_sent",
        "The server's certificate is signed by nobody known, or for another name",
        "not reviewed",
        3,
        "https://localhost:… has a certificate that is not to be trusted (…). If an authority of your own has signed "
        "it, name that in your settings: ca_file",
    ),
    Other(
        "unit/review/test_worker_pool.py",
        "test_a_shared_window_that_stays_full_is_told_with_its_remedy",
        "llama-server's slots share one window, as they do unless their number is given, and long requests fill it",
        "reviewed",
        0,
        "the slots of the server at URL share one window, and it is full (…). Give each its own by naming their number "
        "(llama-server --parallel N), or ask for one thing at a time (--jobs 1)",
    ),
    Other(
        "unit/models/test_litellm.py",
        "test_a_proxy_that_would_pass_code_on_is_not_asked",
        "LiteLLM's proxy has a server behind it that is neither here nor allowed",
        "not reviewed",
        3,
        "LiteLLM passes what 'MODEL' is asked on to HOST; nothing was sent. Choose another of its models, or allow that "
        "host by name in your own settings (allow_hosts, and over http allow_http_hosts as well)",
    ),
    Other(
        "security/test_lying_servers.py",
        "test_a_proxy_that_does_not_tell_of_a_local_server_is_not_asked",
        "LiteLLM's proxy does not tell what is behind it",
        "not reviewed",
        3,
        "URL lists models as LiteLLM does, and does not tell where it passes on what they are asked (403); nothing was "
        "sent. Its administrator can let this key ask /v1/model/info; or name one of the servers behind it",
    ),
    Other(
        "security/test_lying_servers.py",
        "test_a_long_answer_that_is_not_json_is_not_read_from_each_brace_on",
        "A very long answer is not JSON",
        "not reviewed",
        3,
        "the model's answer is not JSON, and too long to be looked through for it",
    ),
    Other(
        "unit/models/test_gateways.py",
        "test_lemonades_cloud_models_are_not_asked",
        "A listing says that a model runs on another machine (Lemonade's cloud, llama-swap's peers)",
        "not reviewed",
        3,
        "the model 'MODEL' runs on fireworks: your code would leave this machine; nothing of it was sent. Choose a model "
        "that runs on this machine (`kilo-review models` shows where each runs)",
    ),
    Other(
        "unit/models/test_gateways.py",
        "test_headers_of_a_listing_are_honoured_on_every_wire",
        "A header says that another machine answers",
        "not reviewed",
        3,
        "URL passes requests on to 'gpu-2', by its header x-served-by: your code would leave this machine; nothing of it "
        "was sent. Name the address of a model server on this machine with --base-url, or allow that host by name in "
        "your own settings (allow_hosts)",
    ),
    Other(
        "unit/models/test_gateways.py",
        "test_an_imitation_is_named",
        "Another server answers on Ollama's routes, and Ollama is wanted",
        "not reviewed",
        3,
        "llama-swap answers at URL, and only imitates Ollama. Ask it with --provider openai, or leave the provider out",
    ),
    Other(
        "unit/models/test_gateways.py",
        "test_a_model_that_is_not_loaded_for_a_request_is_told_with_the_remedy",
        "llama-server's router has not loaded the model, and loads none for a request",
        "not reviewed",
        3,
        "the server at URL has not loaded 'MODEL', and does not load it for a request. Load it there (llama-server: POST "
        "/models/load, or start it without --no-models-autoload), or choose a loaded one with --model; kilo-review "
        "models shows them",
    ),
    Other(
        "unit/models/test_litellm.py",
        "test_a_server_behind_it_that_is_down_is_asked_for_again_and_told",
        "A server behind LiteLLM's proxy is down, and no other one answers at the second try",
        "not reviewed",
        3,
        "a server behind LiteLLM at URL that answers for 'MODEL' is down (…). Start that server; its address is in the "
        "proxy's configuration (model_list, api_base)",
    ),
    Other(
        "unit/models/test_litellm.py",
        "test_when_all_of_them_have_failed_lately_that_is_told",
        "All servers behind LiteLLM's proxy have failed, and it waits before it tries them again",
        "not reviewed",
        3,
        "all servers behind LiteLLM at URL that answer for 'MODEL' have failed lately (…). Start them, and try again "
        "after their cooldown (cooldown_time in the proxy's configuration)",
    ),
    Other(
        "e2e/test_rules.py",
        "test_rules_that_leave_no_room_for_the_change",
        "The project's rules fill the window",
        "not reviewed",
        3,
        "the rules about it take about … of the … tokens that a request has. Lower rules_tokens, or load the model with "
        "a larger window",
    ),
    Other(
        "unit/prompts/test_prompts.py",
        "test_an_explanation_in_the_words_of_the_question_explains_nothing",
        "`kilo-review explain` gets its own words back",
        "no explanation",
        3,
        "the model's answer explains nothing: it repeats the instructions",
    ),
)


def every_row() -> list[Row]:
    """The rows of all parts."""
    return [row for part in PARTS for row in part.rows]


def lines_of(part: Part) -> list[str]:
    """A part's rows in Markdown."""
    file = f"../{part.module.__name__.replace('.', '/')}.py"
    return [
        _line(f"[{row.key}]({file})", row.what + _known(row.ids), _outcome(row), str(int(row.code)), _printed(row))
        for row in part.rows
    ]


def lines_elsewhere() -> list[str]:
    """The rows of other tests in Markdown."""
    return [
        _line(
            *(f"[{other.test}](../tests/{other.file})", other.what + _known(other.ids)),
            *(other.outcome, str(other.exit), _text(other.says) or "—"),
        )
        for other in ELSEWHERE
    ]


def tables() -> dict[str, str]:
    """All tables, by the headings that they stand under."""
    found = {part.title: "\n".join([HEAD, *lines_of(part)]) for part in PARTS}
    return found | {"Tested elsewhere": "\n".join([HEAD, *lines_elsewhere()])}


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _known(ids: tuple[str, ...]) -> str:
    issues = [each for each in ids if "#" in each]
    return f" ({', '.join(issues)})" if issues else ""


def _outcome(row: Row) -> str:
    words = {"clean": "reviewed", "findings": "reviewed", "incomplete": "reviewed in part"}
    told = words.get(row.outcome, "not reviewed")
    return f"{told}, with a finding" if row.is_found or row.outcome == "findings" else told


def _printed(row: Row) -> str:
    """Cause and next step; those of other wires below."""
    told = [". ".join(filter(None, pair)) for pair in ((row.says, row.then), *row.unlike.values())]
    return "<br>".join(map(_text, told)) or "—"


def _text(text: str) -> str:
    """As it is printed, with words for what differs."""
    blanks = {"{server}": "SERVER", "{url}": "URL", "{origin}": "URL", "{model}": "MODEL", "{{": "{", "}}": "}"}
    for blank, word in blanks.items():
        text = text.replace(blank, word)
    return re.sub(r"([*|<\\])", r"\\\1", text)


def write() -> None:
    """Write the tables into the document, each below its heading."""
    text = PAGE.read_text()
    for title, table in tables().items():
        before, heading, after = text.partition(f"\n## {title}\n")
        old = re.search(r"^\| test \|.*?(?=^\n|\Z)", after, re.MULTILINE | re.DOTALL)
        assert old, title
        text = before + heading + after[: old.start()] + table + "\n" + after[old.end() :]
    PAGE.write_text(text)


if __name__ == "__main__":
    write()
