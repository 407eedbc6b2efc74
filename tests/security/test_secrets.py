"""Secrets in quoted lines are masked; what only looks like one is not."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kilo_review.sanitize.detectors import is_worth_a_look, look
from kilo_review.sanitize.secrets import MASK, masked, seen_in
from tests.support.hostile import TEXT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repo, Runner

LETTERS = "aBcDeFgHiJkLmNoPqRsTuVwXyZ"
PLANTED = [
    # The line, with the secret between « and »; ^ is nothing and keeps scanners of this repository calm.
    'password = "«hunter2»"',
    "PASSWORD: '«swordfish»',",
    'db_password = "«letmein»";',
    'if password == "«tr0ub4dor&3»":',
    'if ("«tr0ub4dor&3»" == db_password) {',
    '{"client_secret": "«0a1b2c3d4e5f»", "scope": "all"}',
    "api_key='«12345-67890»'  # of the test system",
    'my_password_secure = "«h^unter2»"',
    'private_key "«something»";',
    'secret = b"«Sup3rS3cret!x9»"',
    'password: str = "«Sup3rS3cret!x9»"',
    'api_key: Final[str] = "«Sup3rS3cret!x9»"',
    "DB_PASS=«Tr0ub4dor3x9»",
    "ENV API_TOKEN=«Sup3rS3cretx9y8»",
    "export API_KEY=«abcd1234efgh5678» # prod",
    "AWS_SECRET_ACCESS_KEY=«/KJ3kd83hDn2kd8Hd3nKd93jdHs72jdks83jdkDs»",
    'password := "«correcthorse»"',
    'char my_password[25] = "«correcthorse»";',
    'std::string secret("«correcthorse»");',
    ":password => '«correcthorse»',",
    'conn = connect(user="a", password="«pa$$word»", db="b")',
    'access_token = "«s3cr3t-token-value»"',
    "aws_access_key_id = «AK^IAIOSFODNN7EXAMPLE»",
    'aws_secret_access_key = "«wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»"',
    "export AWS_SECRET_ACCESS_KEY=«wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»",
    f"token: «gh^p_{LETTERS}0123456789»",
    f"remote add x «github^_pat_11ABCDEFG0{LETTERS}_{LETTERS}»",
    "GITLAB: «gl^pat-abcdefghij1234567890»",
    "slack(«xo^xb-123456789012-123456789012-abcdefghijklmnopqrstuvwx»)",
    "«https://hooks.slack^.com/services/T00000000/B00000000/1XXXXXXXXXXXXXXXXXXXXXXX»",
    f"stripe = '«sk^_live_{LETTERS}{LETTERS}12»'",
    f"stripe = '«sk^_test_{LETTERS}12»'",
    "openai: «sk^-proj-aaaaaaaaaaaaaaaaaaaaT3BlbkFJ0aaaaaaaaaaaaaaaaaaa»",
    f"«AIz^aSyA1234567{LETTERS}»",
    f"«SG^.abcdefghijklmnopqrstuv.{LETTERS}0123456789abcdefg»",
    f"//registry.example/:_authToken=«np^m_{LETTERS}0123456789»",
    f"«np^m_{LETTERS}0123456789»",
    f"«pypi^-AgEIcHlwaS5vcmc{LETTERS}{LETTERS}{LETTERS}0»",
    "discord «MTk4NjIyNDgzNDcxOTI1MjQ4^.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs»",
    "telegram «110201543:^AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1»",
    "twilio «SK^0123456789abcdef0123456789abcdef»",
    "mailchimp «0123456789abcdef0123456789abcdef^-us12»",
    " «AK^Cp8abcdefghijk1» ",
    "«eyJhbGciOiJIUzI1NiJ9^.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U»",
    f"DefaultEndpointsProtocol=https;AccountKey=«{LETTERS}{LETTERS}{LETTERS}0123456==»;",
    "postgres://admin:«s3cret»@db.example/app",
    "redis://:«p4ssw0rd»@cache:6379/0",
    'url = "https://user:«p%40ss»@host/path?x=1"',
    "Authorization: Bearer «abcdef.ghijkl»",
    "curl -H 'Authorization: Basic «dXNlcjpwYXNzd29yZA==»' https://x.y",
    'headers = {"Authorization": "Bearer «abc-123-def-456»"}',
    "the bearer «0123456789abcdef0» is",
    "GET /x?access_token=«abc12345xyz»&page=2",
    '"Server=db;Uid=sa;Pwd=«hunter2»;"',
    "CREATE USER a IDENTIFIED BY '«hunter2»';",
    "DB_PASSWORD=«hunter2»",
    "+export API_TOKEN=«abcdefgh»",
    "  password: «s3cr3t4you»",
    "secret-key = «a1b2c3d4»",
    'key = "«Zk3vQ9xT7LmN2pRs8YbWc4Hd6JfGa1Ue»"',
    "iv = '«b5f1c2d3e4a5968778695a4b3c2d1e0f9»'",
]
INNOCENT = [
    "password = get_password()",
    'password = getpass.getpass("Password: ")',
    'password = os.environ["DB_PASSWORD"]',
    "const password = process.env.DB_PASSWORD;",
    "secret = request.headers['x-api-key']",
    "self.password = password",
    "connect(user=user, password=password)",
    "def login(user: str, password: str) -> None:",
    "  password: string;",
    "  secret_key: Uint8Array",
    "secret: [u8; 32],",
    "password=None",
    'password = ""',
    'password = "..."',
    'password = "********"',
    'password = "xxxxxxxx"',
    'password = "<password>"',
    'password = f"{password}"',
    "password: '${DB_PASSWORD}'",
    "password: ${{ secrets.DB_PASSWORD }}",
    'password = "%s" % value',
    '"password": "string"',
    '"password": "must have at least 8 characters"',
    'api_key_header = "X-Api-Key-2"',
    'password_field = "pw1234"',
    'password = "user_password"',
    'password = "DB_PASSWORD"',
    'secret_file = "/run/secrets/db1"',
    'secret = "/run/secrets/db1"',
    'secret: Path = "/run/secrets/Database1"',
    "API_SECRET=/usr/local/share/Keys2/something/of/the/Application",
    'password: str = "hidden"',
    "OVER_PASS=${X}",
    "PASSWORD_FILE=/run/secrets/db1",
    "TOKEN_TTL=3600",
    "SECRET_NAME=db1",
    "secretName: app-secret-2",
    "token_type = 'Bearer'",
    'if token == "(":',
    '<input type="password" name="password">',
    "Authorization: Bearer ${TOKEN}",
    'headers = {"Authorization": f"Bearer {token}"}',
    '"Authorization": "Bearer " + token',
    "a bearer of bad news",
    "http://user@host/path",
    "http://localhost:11434/v1, or mail a@b.co",
    "https://${USER}:${PASSWORD}@host",
    "https://x.y/?key=name&sort=up",
    'commit = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"',
    'tree = "4b825dc642cb"',
    'checksum = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"',
    'hash = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"',
    '"integrity": "sha512-z8Kf3oLqQ1hJq0bL8m7v2yU5tXnW4cR6sD9eF1gH3jK5lM7nP9qR1sT3uV5wX7yZ9aB1cD3eF5gH7iJ9kL1mN3oP5q=="',
    "golang.org/x/net v0.1.0 h1:hZ/3BUoy5aId7sCpA/Tc5lt8DkFgdVS2onTpJsZ/fl0=",
    'id = "123e4567-e89b-12d3-a456-426614174000"',
    'ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"',
    'DIGITS = "0123456789abcdef0123"',
    '"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 user@host"',
    "from kilo_review.sanitize.secrets import masked",
    'open("src/main/java/com/example/FooBar2/AbstractSingletonProxyFactoryBean.java")',
    'name = "AbstractSingletonProxyFactoryBean2"',
    'script = "/static/js/main.8f3b2c1a.chunk.js"',
    "APACHELICENSEVERSION",
    "192.0.2.17",
    "-----BEGIN CERTIFICATE-----",
    'if "-----BEGIN PRIVATE KEY-----" in text:',
]


def parts(line: str) -> tuple[str, str, str]:
    before, _, rest = line.replace("^", "").partition("«")
    secret, _, after = rest.partition("»")
    return before, secret, after


@pytest.mark.parametrize("line", PLANTED)
def test_a_secret_is_cut_and_the_rest_of_the_line_stays(line: str) -> None:
    before, secret, after = parts(line)
    shown = secret[: min(4, len(secret) // 4)]
    assert masked(before + secret + after) == before + shown + MASK + after


def test_a_secret_that_was_seen_is_masked_wherever_it_stands_again() -> None:
    seen = seen_in(['password = "correct.horse"', "nothing", 'pwd = "ab1!"'])
    assert masked("The literal correct.horse, in `correct.horse`", seen) == "The literal cor[masked], in `cor[masked]`"
    assert masked("incorrect.horses, ab1!", seen) == "incorrect.horses, ab1!"
    assert seen_in(["nothing"]) is None


@pytest.mark.parametrize("line", INNOCENT)
def test_what_is_no_secret_stays(line: str) -> None:
    assert masked(line) == line


@pytest.mark.parametrize("line", PLANTED)
def test_what_was_masked_stays_as_it_is(line: str) -> None:
    once = masked("".join(parts(line)))
    assert masked(once) == once


def test_every_secret_of_many_lines_is_masked() -> None:
    text = "\n".join("".join(parts(line)) for line in PLANTED)
    shown = masked(text)
    assert [line for line in PLANTED if parts(line)[1] in shown] == []
    assert shown.count("\n") == text.count("\n")


BODY = "MIIEpAIBAAKCAQEA1c7+9z5Pad7OejecsQ0buaRNsCi6GZ9tWPz3GsXcaHX2xkQ9\nqP0Jz2Nn+Zk=\n"
CURVE = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW"


def key(kind: str, word: str = "BEGIN") -> str:
    return f"-----{word} {kind}PRIVATE KEY-----"


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", "DSA "])
def test_nothing_of_a_private_key_is_shown(kind: str) -> None:
    text = f'KEY = """{key(kind)}\n{BODY}{key(kind, "END")}"""\nx = 1\n'
    assert masked(text) == f'KEY = """{key(kind)}\n{MASK}\n{MASK}\n{key(kind, "END")}"""\nx = 1\n'


def test_a_key_that_is_cut_off_is_masked_as_far_as_it_goes() -> None:
    text = f"+{key('RSA ')}\n+Proc-Type: 4,ENCRYPTED\n+\n+{CURVE}\n+QyNTUxOQ\n def pair(key):\n     return key\n"
    assert masked(text) == (
        f"+{key('RSA ')}\n+Proc-Type: 4,ENCRYPTED\n+\n+{MASK}\n+{MASK}\n def pair(key):\n     return key\n"
    )


def test_a_line_from_the_middle_of_a_key_is_masked() -> None:
    assert masked(CURVE) == masked(f"+{CURVE}")[1:] == MASK
    assert masked(f'    "{CURVE}\\n" +') == f'    "{MASK}\\n" +'


def test_a_key_in_one_line_is_masked() -> None:
    body = BODY.replace("\n", "\\n")
    text = f'{{"private_key": "{key("")}\\n{body}{key("", "END")}\\n", "id": 1}}'
    assert masked(text) == f'{{"private_key": "{key("")}{MASK}{key("", "END")}\\n", "id": 1}}'


def test_code_about_keys_is_no_key() -> None:
    text = f'if text.startswith("{key("")}"):\n    return parse(text)\nraise ValueError("no key")\n'
    assert masked(text) == text


def test_a_long_line_is_searched_to_its_end() -> None:
    secret = "hunter2" * 3
    for length in range(0, 1200, 70):
        assert secret not in masked(f"{'x = 1; ' * (length // 7)}password = '{secret}'; {'y = 2; ' * 200}")


@settings(deadline=None)
@given(st.lists(st.one_of(TEXT, st.sampled_from([*PLANTED, key(""), BODY, "-----END"])), max_size=4).map("".join))
@example("eyJbW1tbW1tbW1tb.eyJbW1tbW1tbW1tbW1tbW1tbW1tbW1tb")
@example("\ud83d password='\udc80abcd'")
@example("password='" + "a" * 400 + "1'")
def test_any_text_is_masked_without_an_error_and_keeps_its_lines(text: str) -> None:
    assert masked(text).count("\n") == text.count("\n")


@settings(deadline=None)
@given(st.lists(st.one_of(TEXT, st.sampled_from([*INNOCENT, *("".join(parts(line)) for line in PLANTED)])), max_size=3))
def test_the_cheap_look_misses_nothing(pieces: list[str]) -> None:
    text = "\n".join(pieces)
    assert is_worth_a_look(text) or list(look(text)) == []


@pytest.mark.parametrize(
    "unit",
    [
        "password",
        "secret'",
        "key ",
        " ",
        "'a' ==",
        "token",
        "sk-a",
        "Aa1",
        "-",
        "+",
        "+\n",
        "a.",
        key(""),
        "eyJ.",
        "//a:",
    ],
)
@pytest.mark.long
def test_no_text_makes_it_slow(unit: str) -> None:
    """Some of detect-secrets' patterns take cubic time: six seconds for 1000 spaces after `key`."""
    text = "secret'" + unit * (60_000 // len(unit)) + "'"
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from kilo_review.sanitize.secrets import masked; masked(sys.stdin.read())"],
        input=text.encode(),
        timeout=60,
    )
    assert done.returncode == 0


WATCHED = """
import sys
from kilo_review.sanitize.secrets import masked
masked("password = 'hunter2'")  # the detectors are loaded
events = []
sys.addaudithook(lambda event, arguments: events.append((event, str(arguments)[:200])))
shown = masked(sys.stdin.read())
seen = [event for event in events if event[0].split(".")[0] in {"open", "os", "socket", "subprocess", "urllib", "import"}]
print(seen)
"""


def test_nobody_is_asked_whether_it_is_valid_and_no_file_is_read(tmp_path: Path) -> None:
    (tmp_path / ".secrets.baseline").write_text("{")
    (tmp_path / "detect_secrets_plugin.py").write_text("raise SystemExit(3)")
    text = "\n".join("".join(parts(line)) for line in PLANTED)
    done = subprocess.run([sys.executable, "-c", WATCHED], input=text.encode(), capture_output=True, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, b"[]", b"")


@pytest.mark.parametrize(
    "text",
    ["def mean(items):\n    return sum(items) / len(items)\n", 'x = d["key"]', "test_that_a_long_name_costs_nothing()"],
)
def test_code_without_a_trace_of_a_secret_loads_no_detector(text: str) -> None:
    program = f"import sys; from kilo_review.sanitize.secrets import masked; masked({text!r}); print('detect_secrets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert done.stdout.strip() == b"False"


def test_the_ground_of_display_loads_nothing_more_than_it_did() -> None:
    program = "import __future__, re, sys; before = set(sys.modules); import kilo_review.sanitize.terminal; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert done.stdout.strip() == b"['kilo_review', 'kilo_review.sanitize', 'kilo_review.sanitize.terminal']"


# In a report


KEY = "AKIA" + "IOSFODNN7EXAMPLE"  # in two, for scanners of this repository


def leaking(kilo: Runner, repo: Repo, division: dict[str, Any]) -> tuple[str, ...]:
    repo.stage("app.py", f'key = "{KEY}"\n')
    words = {"code": f'key = "{KEY}"', "title": f"{KEY} is a key", "problem": f"{KEY} stands here."}
    return kilo.scripted({"findings": [division | words]}, rulings=[{"confirmed": False, "evidence": f"it is {KEY}"}])


@pytest.mark.parametrize(
    ("form", "verify"),
    [
        *itertools.product(("text", "json", "sarif"), ("off", "all")),
        *(("rdjson", "off"), ("gitlab", "off")),  # they leave out what is refuted
    ],
)
def test_what_is_written_for_ci_holds_no_secret(
    kilo: Runner, repo: Repo, division: dict[str, Any], form: str, verify: str
) -> None:
    done = kilo(*leaking(kilo, repo, division), "--format", form, "--verify", verify, env={"CI": "true"})
    assert KEY not in done.text + done.talk
    assert "AKIA[masked]" in done.text


def test_at_home_the_line_is_shown_as_it_is_and_the_id_is_the_same(
    kilo: Runner, repo: Repo, division: dict[str, Any]
) -> None:
    script = leaking(kilo, repo, division)
    (own,) = kilo(*script, "--format", "json").json()["findings"]
    (published,) = kilo(*script, "--format", "json", env={"CI": "1"}).json()["findings"]
    assert KEY in own["evidence"]
    assert own["fingerprint"] == published["fingerprint"]
