"""Deceptive characters: the published attacks are found, and what people write in their languages is left alone.

Invisible characters are written as escapes here, so that this file shows what it holds.
"""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilo_review.core.deadline import PACE, Deadline
from kilo_review.core.finding import Category, Severity, Status
from kilo_review.judge import bidi, invisible
from kilo_review.judge.categories import Switch, Switchboard
from kilo_review.judge.places import Row
from kilo_review.judge.suppress import ignores_for, ignores_in
from kilo_review.judge.unicode import deceptive, search
from kilo_review.source.diff import Line
from kilo_review.source.patch import parse_patch

if TYPE_CHECKING:
    from kilo_review.core.finding import Finding
    from tests.conftest import Repo, Runner

CRITICAL, MAJOR, MINOR = Severity.CRITICAL, Severity.MAJOR, Severity.MINOR
LRE, RLE, PDF, LRO, RLO, LRI, RLI, FSI, PDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
LRM, RLM, ALM = "\u200e\u200f\u061c"
ZWSP, ZWNJ, ZWJ, WJ, SHY, BOM, CGJ = "\u200b\u200c\u200d\u2060\u00ad\ufeff\u034f"
NBSP = "\u00a0"
SHALOM = "שלום"
CYRILLIC_A = "а"


def added(*texts: str, start: int = 10) -> list[Line]:
    """Added lines that follow each other, by default not at the start of their file."""
    return [Line("+", None, number, text) for number, text in enumerate(texts, start)]


def found(path: str, *texts: str) -> list[Finding]:
    return deceptive(path, added(*texts))


def severities(path: str, *texts: str) -> list[Severity]:
    return [finding.severity for finding in found(path, *texts)]


def is_harmless(text: str) -> bool:
    return text.isascii() and text.isprintable()


# Published attacks


ATTACKS = {
    "stretched string": ("a.js", f'if (accessLevel != "user{RLO} {LRI}// Check if admin{PDI} {LRI}") {{', RLO),
    "commenting out": ("a.c", f"/*{RLO} }} {LRI}if (isAdmin){PDI} {LRI} begin admins only */", RLO),
    "early return": ("a.py", f"    '''Subtract funds from bank account then {RLI}''' ;return", RLI),
    "homoglyph function": ("a.py", "def sayНello():", "Н"),
    "homoglyph function in Rust": ("a.rs", "fn say\u041dello() {}", "\u041d"),
    "invisible function": ("a.js", f"function is{ZWSP}Admin() {{", ZWSP),
    "invisible function, at its end": ("a.rb", f"def is_admin{ZWSP}()", ZWSP),
    "invisible parameter": ("a.js", "const { timeout,\u3164} = req.query;", "\u3164"),
    "letter as operator": ("a.js", "if (environment\u01c3=ENV_PROD) {", "\u01c3"),
    "payload in variation selectors": ("a.js", "eval(d(`\ufe01\ufe0a\U000e0120\U000e0134`))", "\ufe01"),
    "payload between letters": (
        "a.js",
        "const s = '" + "".join(f"x{chr(0xFE00 + n)}" for n in range(8)) + "'",
        "\ufe00",
    ),
    "payload in tags": ("README.md", "Hello \U000e0069\U000e0067\U000e006e\U000e006f", "\U000e0069"),
    "payload in zero width bits": ("a.py", f"x = '{ZWSP}{ZWNJ}{ZWSP}{ZWNJ}{ZWSP}'", ZWSP),
    "line that ends in a comment": ("a.ts", "// sanitised below\u2028steal();", "\u2028"),
    "line that ends in a comment of C#": ("a.cs", "// sanitised below\x85Steal();", "\x85"),
}


@pytest.mark.parametrize(("path", "text", "char"), ATTACKS.values(), ids=ATTACKS)
def test_published_attacks_are_critical_and_named(path: str, text: str, char: str) -> None:
    (finding,) = found(path, "plain = 1", text)
    assert (finding.severity, finding.category, finding.status) == (CRITICAL, Category.UNICODE, Status.ACTIVE)
    assert (finding.path, finding.line, finding.end_line) == (path, 11, 11)
    name = f"U+{ord(char):04X} {unicodedata.name(char, 'control character')} at character {text.index(char) + 1}"
    assert name in finding.title
    assert name in finding.message
    assert "reader" in finding.message.lower()


@pytest.mark.parametrize(("path", "text", "char"), ATTACKS.values(), ids=ATTACKS)
def test_what_is_told_is_harmless_itself(path: str, text: str, char: str) -> None:
    for finding in found(path, text):
        assert is_harmless(finding.title)
        assert is_harmless(finding.message)
        assert finding.evidence == text


def test_the_twin_is_named_if_it_stands_in_the_same_lines() -> None:
    (finding,) = found("a.py", "def sayHello():", "def sayНello():")
    assert "say\\u041dello reads as sayHello" in finding.message
    assert "sayHello itself also stands in these lines" in finding.message


def test_an_attack_in_a_real_diff_is_found_on_its_line(repo: Repo) -> None:
    repo.stage("app.py", f"first = 1\nsecond = '\u2028'\nis{ZWSP}Admin = 1\n")
    diff = parse_patch(repo.git("diff", "--cached").stdout)
    (hunk,) = diff.files[0].hunks
    findings = deceptive("app.py", diff.lines(hunk))
    assert [(finding.line, finding.severity) for finding in findings] == [(2, MAJOR), (3, CRITICAL)]


# What is left alone


CLEAN = {
    "Hebrew": ("a.py", f"message = '{SHALOM} עולם'  # הודעה (ראשית)"),
    "Hebrew with a mark": ("a.py", f"message = '{SHALOM}!{RLM} OK'"),
    "Arabic": ("a.java", 'String greeting = "مرحبا بالعالم"; // تحية'),
    "Arabic with marks": ("strings.json", f'"price": "{RLM}السعر: 10{LRM}"'),
    "Persian with joiners": ("a.py", f"label = 'می{ZWNJ}خواهم'  # کلاس{ZWNJ}ها و API{ZWNJ}ها"),
    "Persian name": ("a.js", f"const می{ZWNJ}خواهم = 1"),
    "Hindi": ("a.py", f"नाम = 'क{ZWJ}ष क्{ZWNJ}ष'  # हिन्दी पाठ"),
    "Malayalam": ("a.md", f"നന്{ZWJ} എന്ന്"),
    "Thai": ("a.py", f"text = 'ภาษา{ZWSP}ไทย'"),
    "Khmer": ("a.po", f'msgstr "ភាសា{ZWSP}ខ្មែរ"'),
    "Burmese": ("a.py", f"# မြန်မာ{ZWSP}ဘာသာ"),
    "Mongolian": ("a.txt", "ᠮᠣᠩᠭᠣᠯ\u180b ᠪᠠ\u180e"),
    "Korean": ("a.kt", 'val 이름 = "한국어" // 설명 \u1112\u1160'),
    "Chinese": ("a.go", "// 返回配置中的值,如果没有则为空(默认)"),
    "Japanese": ("a.py", "ユーザーID = 'ＩＤは、'  # ＵＲＬを返す\u3000説明"),
    "Japanese variants": ("a.py", "name = '葛\U000e0100城 辻\ufe00'"),
    "German": ("a.py", "größe = 'Maß'  # Größe der Übersicht"),
    "German hyphenation": ("a.md", f"Donau{SHY}dampf{SHY}schiff"),
    "French": ("a.py", f"titre = 'Attention{NBSP}: 10{NBSP}% «{NBSP}ok{NBSP}»'  # Voilà{NBSP}!"),
    "Spanish": ("a.sql", "SELECT nº_pedido, año FROM pedidos -- ¿qué?"),
    "Turkish": ("a.py", "kullanıcı = kapı + sınıf  # İstanbul"),
    "Vietnamese": ("a.js", "const tên = 'Người dùng được'"),
    "Greek": ("a.py", "όνομα = 'Καλημέρα'  # Τιμή του α και ο"),
    "Russian": ("a.py", "print('Сохранено в JSONе, см. README')  # из JSONа и с PDFкой, а о нём"),
    "Russian names": ("a.bsl", "Список = НоваяТаблица(Документ, Х);"),
    "Russian name beside ASCII": ("a.py", "user_имя = get_имя('с')"),
    "Ukrainian": ("a.py", "# і це об'єкт: і, є, ї; обʼєкт"),
    "Serbian": ("a.py", "поруке = 'Љубав и ја'  # је"),
    "formula": ("a.py", "ρ_air = dρ * Δx + αx * σ2 / ν  # λ, μs, sinαcosβ"),
    "formula with its ASCII twin": ("a.py", "p = ρ; v = ν; a = α; dp = dρ; χ = x; ϱ = p"),
    "mathematics": ("a.jl", "𝒞 = sinαcosβ + ℝ + 𝐱𝐲 + ℓ"),
    "physics": ("a.py", "x₁ = µ * ℓ + ℏ ** 2  # ² º ª"),
    "phonetics": ("a.py", "ipa = '/ˈlɪtl kɑːt ɡʊd/'"),
    "ornament": ("a.js", "console.log('𝐇ello 𝓌orld ＡＢＣ')"),
    "emoji": (
        "a.py",
        f"print('👩{ZWJ}💻 ❤\ufe0f{ZWJ}🔥 👍🏽 1\ufe0f\u20e3 🏳\ufe0f{ZWJ}🌈 ⚠\ufe0f ℹ\ufe0f ↔\ufe0f ™\ufe0f')",
    ),
    "emoji in markup": ("a.tsx", f"<b>👨{ZWJ}👩{ZWJ}👧 ✔\ufe0f</b>"),
    "flag of a region": ("a.md", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"),
    "icon": ("a.css", "content: '\uf8ff \ue0b0\ue0b1';"),
    "typography": ("a.py", "text = 'It’s “fine” – really… → ok'  # × ÷ ≤ ≥ · •"),
    "markup with spaces": ("a.jsx", f"<p>{{name}}{NBSP}! 10{NBSP}%</p>"),
    "prose with spaces": ("a.md", f"1{NBSP}000 `x = 1`"),
    "Latin-1 bytes": ("a.c", 'char *s = "caf\udce9\udca0";'),
    "regular expression": ("a.py", "re.match('[A-Za-zА-Яа-яёЁ]+', s)"),
    "bytes as text": ("a.go", r'b := "\x98Ьo\x01 \342іa"'),
}


@pytest.mark.parametrize(("path", "text"), CLEAN.values(), ids=CLEAN)
def test_what_people_write_is_left_alone(path: str, text: str) -> None:
    assert found(path, "copy = a + x + c", text) == []


def test_prose_of_a_docstring_that_began_above_the_hunk_is_left_alone() -> None:
    assert found("a.py", "    Возвращает поле из JSONа и XMLа,", "    а с полем c:", "def f(a, c, x): pass") == []


WORDS = {
    "Hebrew": "אבגדהוזחטיכלמנסעפצקרשת",
    "Arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "Russian": "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    "Greek": "αβγδεζηθικλμνξοπρστυφχψωΑΒΓΔΕ",
    "German": "abcdefghijklmnopqrstuvwxyzäöüß",
    "Turkish": "abcçdefgğhıijklmnoöprsştuüvyz",
    "Hindi": "अआइईउऊएऐओकखगघचछजझटठडढतथदधनपफबभमयरलवशषसह",
    "Thai": "กขคงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหอฮ",
    "Chinese": "的一是在不了有和人这中大为上个国我以要他",
    "Japanese": "あいうえおかきくけこアイウエオ日本語ー",
    "Korean": "가나다라마바사아자차카타파하",
    "Armenian": "աբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆ",
    "Georgian": "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
}


@pytest.mark.parametrize("alphabet", WORDS.values(), ids=WORDS)
@given(data=st.data())
def test_no_text_in_one_language_alarms(alphabet: str, data: st.DataObject) -> None:
    word = st.text(alphabet, min_size=1, max_size=9)
    text = " ".join(data.draw(st.lists(word | st.sampled_from(["JSON", "x", "a", "10", "e.g.", "(c)"]), max_size=8)))
    assert found("a.py", f"x = 1  # {text}", f"print('{text}')") == []
    assert found("a.md", text) == []
    assert found("a.json", f'"key": "{text}"') == []


@given(st.lists(st.text(st.characters(max_codepoint=127)), max_size=4), st.sampled_from(["a.py", "a.c", "a.md", "x"]))
def test_ascii_never_alarms(texts: list[str], path: str) -> None:
    assert found(path, *texts) == []


NASTY = st.text(
    st.sampled_from(f"{LRE}{RLE}{PDF}{RLO}{LRI}{RLI}{PDI}{LRM}{ZWSP}{ZWJ}{SHY}{BOM}{CGJ}{NBSP}")
    | st.sampled_from("\ufe0f\ufe01\U000e0041\U000e0100\ue000\u2028\x85\x9b\u3164\udc80аНοαǃ𝐱ｅﬁ" + SHALOM)
    | st.sampled_from("ab1 _=\"'`#/*\\(){};:<>!\t\r")
    | st.characters(),
    max_size=40,
)


@given(
    st.lists(NASTY, max_size=5), st.sampled_from(["a.py", "a.js", "a.sql", "a.tsx", "a.md", "a.yaml", "a.jl", "x", ""])
)
def test_whatever_stands_there_is_told_in_harmless_words(texts: list[str], path: str) -> None:
    findings = found(path, *texts)
    for finding in findings:
        assert is_harmless(finding.title)
        assert is_harmless(finding.message)
        assert len(finding.title) <= 160
        assert len(finding.message) <= 1000
        assert re.search(r"U\+[0-9A-F]{4,6} .+ at character \d", finding.title)
        finding.evidence.encode()
    kinds = [(finding.line, finding.title.split(":")[0]) for finding in findings]
    assert len(kinds) == len(set(kinds))


# Which lines are looked at, and at what cost


def test_only_added_lines_are_judged() -> None:
    text = f"is{ZWSP}Admin = 1"
    assert deceptive("a.py", [Line(" ", 1, 1, text), Line("-", 2, None, text)]) == []


def test_lines_around_serve_as_context() -> None:
    context = [Line(" ", 1, 1, "def copy(): pass"), Line("+", None, 2, "сору()")]
    removed = [Line("-", 1, None, "def copy(): pass"), Line("+", None, 1, "сору()")]
    assert [finding.severity for finding in deceptive("a.py", context)] == [CRITICAL]
    assert deceptive("a.py", removed) == []


def test_the_symbol_and_the_evidence_are_fit_to_be_shown() -> None:
    (finding,) = deceptive("a.py", added(f"x{ZWSP}y = '\udcff\0'"), "def f(\udcff):")
    assert finding.symbol == "def f(\ufffd):"
    assert finding.evidence == f"x{ZWSP}y = '\ufffd'"


def test_a_line_has_one_finding_for_each_kind() -> None:
    text = f"is{ZWSP}A{ZWSP} = p{CYRILLIC_A}ypal{NBSP}+ '{RLO}' + s{CYRILLIC_A}y"
    assert severities("a.py", text) == [CRITICAL, CRITICAL, MINOR, CRITICAL]


@pytest.mark.parametrize(
    ("text", "loaded"),
    [("x = 1", "[]"), ("x = 1  # \\u4e2d\\u6587", "[]"), ("p\\u0430y = 1", "['confusable_homoglyphs', 'unicodedata']")],
)
def test_tables_are_loaded_only_for_what_needs_them(text: str, loaded: str) -> None:
    program = (
        "import sys\n"
        "from kilo_review.judge.unicode import deceptive\n"
        "from kilo_review.source.diff import Line\n"
        f"deceptive('a.py', [Line('+', None, 1, '{text}')])\n"
        "print([name for name in ('confusable_homoglyphs', 'unicodedata', 'urllib.request') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == loaded


HOSTILE = {
    "hexadecimal": "a" * 50_000 + "а",
    "one long word": "а" * 50_000,
    "two scripts": "aа" * 25_000,
    "three scripts": "aаж" * 20_000,
    "nested": RLE * 50_000 + PDI * 50_000,
    "pairs": f"{LRI}א{PDI}" * 20_000,
    "invisible": f"a{ZWSP}" * 25_000,
    "marks": f"a{RLM}" * 25_000 + "א",
    "separators": "// " + "x\u2028" * 25_000,
    "quotes": "'\\'" * 20_000 + "\\ аb",
    "double quotes": 'аb "' + '\\"' * 50_000 + "\\",
    "comments": "/*" * 30_000 + "аb",
    "strings": '"аb"' * 12_000,
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("path", ["a.js", "a.py", "a.json"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_line_made_to_be_slow_is_judged_all_the_same(path: str, text: str) -> None:
    for finding in found(path, text):
        assert len(finding.message) <= 1000


# Bidirectional controls


@pytest.mark.parametrize(
    ("path", "text", "severity"),
    [
        ("a.py", f"x = '{LRO}abc{PDF}'", CRITICAL),
        ("a.py", f"x = '{RLO}{SHALOM}{PDF}'", CRITICAL),
        ("a.md", f"{RLO}{SHALOM}{PDF}", CRITICAL),
        ("a.py", f"x = '{RLE}{SHALOM}'", CRITICAL),
        ("a.py", f"x = '{RLI}{SHALOM}'", CRITICAL),
        ("a.py", f"x = '{RLI}{RLE}{SHALOM}{PDI}'", CRITICAL),  # the embedding is not closed
        ("a.py", f"x = '{RLI}{SHALOM}{PDF}'", CRITICAL),  # closed by the wrong control
        ("a.py", f"x = '{RLI}{SHALOM}' + f() + '{PDI}'", CRITICAL),  # from one string to another
        ("a.py", f"x = '{RLI}{SHALOM}' # {PDI}", CRITICAL),  # out of the string into a comment
        ("a.c", f"/* {RLI}{SHALOM} */ if (x) {{ /* {PDI} */", CRITICAL),
        ("a.py", f"x = {RLI}y{PDI}", CRITICAL),  # in code, without need
        ("a.py", f"x = {RLI}{SHALOM} + f(y){PDI}", CRITICAL),
        ("a.py", f"x = {RLI}{SHALOM}{PDI}", MAJOR),
        ("a.py", f"x = '{RLI}{SHALOM}{PDI}'", MAJOR),
        ("a.py", f"x = 1  # {RLE}{SHALOM} (a){PDF}", MAJOR),
        ("a.py", f"x = 'Hello, {FSI}Anna{PDI}!'", MAJOR),
        ("a.md", f"{RLI}{SHALOM}{PDI}", MINOR),
        ("a.md", f"{RLI}{SHALOM}", MAJOR),
        ("a.md", f"{RLI}plain", CRITICAL),
        ("a.json", f'"a": "{RLI}{SHALOM}{PDI}"', MINOR),
        ("a.py", f"x = 'a{PDF}'", MINOR),
        ("a.py", f"x = '{LRI}a{PDI}'" * (bidi.MOST_CONTROLS // 2 + 1), CRITICAL),
    ],
)
def test_controls_are_as_bad_as_what_they_can_reach(path: str, text: str, severity: Severity) -> None:
    assert severities(path, text) == [severity]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"x = 'a{RLM}b'", [MINOR]),
        (f"x = 1  # a{ALM} b", [MINOR]),
        (f"is{LRM}Admin = 1", [CRITICAL]),
        (f"is{LRM}Admin = '{SHALOM}'", [CRITICAL]),
        (f"x = '{SHALOM}{LRM}!'", []),
    ],
)
def test_marks_are_for_lines_with_right_to_left_text(text: str, expected: list[Severity]) -> None:
    assert severities("a.sh", text) == expected


# Invisible characters


@pytest.mark.parametrize(
    "char", [ZWSP, ZWNJ, ZWJ, WJ, SHY, CGJ, BOM, "\u2063", "\u180e", "\ufe0f", "\U000e0100", "\ufff9"]
)
def test_an_invisible_character_in_a_name_is_critical(char: str) -> None:
    assert severities("a.py", f"is{char}Admin = 1") == [CRITICAL]


@pytest.mark.parametrize("char", ["\u3164", "\uffa0", "\u115f", "\u1160"])
def test_an_invisible_letter_is_a_name_by_itself(char: str) -> None:
    assert severities("a.js", f"var x = {{ {char} : 1 }}") == [CRITICAL]
    assert severities("a.js", f"var x = '{char}'") == [MAJOR]


@pytest.mark.parametrize(
    ("path", "text", "severity"),
    [
        ("a.py", f"x = 1 + {ZWSP} + 2", MAJOR),
        ("a.py", f"x = 'ad{ZWSP}min'", MAJOR),
        ("a.py", f"x = 'ad{SHY}min'", MINOR),
        ("a.py", "x = 'ad\ufe0fmin'", MINOR),
        ("a.py", f"# ad{ZWSP}min", MINOR),
        ("a.py", f"x = 1  # ad{ZWSP}min", MINOR),
        ("a.js", f"/* example: *{ZWSP}/ evil() */", MAJOR),
        ("a.md", f"ad{ZWSP}min", MINOR),
        ("a.json", f'"ad{ZWSP}min": 1', MAJOR),
        ("a.json", f'"a sentence.{ZWSP}"', MINOR),
        ("a.js", f"{BOM}import x", MAJOR),
        ("a.js", f"x = '{BOM}'", MAJOR),
        ("a.js", "x = 'don\u00e2\x80\x99t'", MAJOR),  # a text in the wrong encoding
        ("a.js", "// don\u00e2\x80\x99t", MINOR),
        ("a.js", "x = '\u2028'", MAJOR),
        ("a.js", "// nothing behind\u2028", MAJOR),
        ("a.md", "text\u2028text", MINOR),
        ("a.py", "x = '🏴\U000e0067\U000e0062\U000e0065'", MAJOR),  # a flag without its end
        ("a.py", f"x = 'क{ZWJ} a{ZWJ}b'", MAJOR),  # in place once, and once not
    ],
)
def test_an_invisible_character_is_as_bad_as_its_place(path: str, text: str, severity: Severity) -> None:
    assert severities(path, text) == [severity]


def test_the_worst_of_a_line_is_in_its_title() -> None:
    (finding,) = found("a.py", f"x = 'a{ZWSP}' + is{WJ}Admin")
    assert finding.title == "Invisible character: U+2060 WORD JOINER at character 14 and 1 more"
    assert "U+200B ZERO WIDTH SPACE at character 7, U+2060 WORD JOINER at character 14." in finding.message


def test_many_code_points_are_named_in_part() -> None:
    (finding,) = found("a.py", "x = '" + "\ufe01" * 9 + "'")
    assert finding.title == "Hidden data: 9 invisible characters, U+FE01 VARIATION SELECTOR-2 at character 6"
    assert finding.message.count("U+FE01") == 4
    assert "and 5 more" in finding.message


def test_a_byte_order_mark_at_the_very_start_is_none_of_ours() -> None:
    assert deceptive("a.py", added(f"{BOM}x = 1", start=1)) == []
    assert [finding.severity for finding in deceptive("a.py", added(f"x{BOM} = 1", start=1))] == [CRITICAL]


def test_private_use_in_a_row_is_told() -> None:
    assert severities("a.js", "x = '" + "\ue000" * invisible.LONGEST_PRIVATE_RUN + "'") == []
    assert severities("a.js", "x = '" + "\ue000" * (invisible.LONGEST_PRIVATE_RUN + 1) + "'") == [MAJOR]
    assert severities("a.js", "x = '" + "\U000f0001" * 9 + "'") == [MAJOR]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a.py", f"x ={NBSP}1", [MINOR]),
        ("a.py", f"{NBSP}   return x", [MINOR]),
        ("a.py", "if x:\u3000", [MINOR]),
        ("a.sh", f"ls | grep{NBSP}x", [MINOR]),
        ("a.py", f"x = 'a{NBSP}b'  # c{NBSP}d", []),
        ("a.jsx", f"{NBSP} return x", [MINOR]),
        ("a.yaml", f"{NBSP} key: 1", []),
    ],
)
def test_spaces_are_told_in_code(path: str, text: str, expected: list[Severity]) -> None:
    assert severities(path, text) == expected


# Look-alikes


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a.py", "pаypal = 1", [CRITICAL]),
        ("a.py", "аdmin_flag = 1", [CRITICAL]),
        ("a.py", "userѕ = 1", [CRITICAL]),
        ("a.py", "Αlaska = 1", [CRITICAL]),
        ("a.go", "func sayΗello() {}", [CRITICAL]),
        ("a.py", "pаypаlЖ = 1", [CRITICAL]),  # a letter of its own elsewhere does not hide it
        ("a.js", "x = 𝖺dmin", [CRITICAL]),  # sans-serif looks like code
        ("a.js", "x = ⅽopy", [CRITICAL]),
        ("a.py", "paγload = 1", [MAJOR]),
        ("a.jl", "paγload = 1", []),
        ("a.tsx", "<b>{isАdmin}</b>", [CRITICAL]),
        ("a.tsx", "<b>из файла JSONа</b>", []),
        ("a.py", "role = 'аdmin'", [MAJOR]),
        ("a.py", "role = 'pаypal'", [MAJOR]),
        ("a.json", '"lоdash": "1.0"', [MAJOR]),
        ("a.py", "# pаypal", [MINOR]),
        ("README.md", "pip install rеquests", [MINOR]),
        ("README.md", "Аbc", []),
        ("a.bsl", "спaвок = 1", [MAJOR]),
        ("a.bsl", "осьXиY = 1", []),
        ("a.bsl", "получитьIDзаказа = 1", []),
        ("a.py", "isAdmin\u02d0 = 1", []),
    ],
)
def test_a_name_that_reads_as_another_is_told(path: str, text: str, expected: list[Severity]) -> None:
    assert severities(path, text) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["copy = 1", "сору = 2"], [CRITICAL]),
        (["get_copy(1)", "get_сору(2)"], [CRITICAL]),
        (["сору = 2"], []),
        (["# copy", "return сору"], [CRITICAL]),
        (["for c in x:", "    total += с"], [CRITICAL]),
        (["c = 1", "с, д = 2"], []),  # a single letter among others of its script is a word
        (["Index = 1", "Іndех = 2"], [CRITICAL]),
        (["l0 = 1", "ІО = 2"], [CRITICAL]),
        (["v_max = 1", "ν_max = 2"], []),
        (["voυ", "ννν = vvv"], [MAJOR]),
    ],
)
def test_a_name_in_another_script_needs_a_twin(texts: list[str], expected: list[Severity]) -> None:
    assert severities("a.py", *texts) == expected


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a.py", "ｅｖａｌ(x)", [MAJOR]),
        ("a.py", "ｅval(x)", [MAJOR]),
        ("a.py", "𝐞𝐱𝐞𝐜(x)", [MAJOR]),
        ("a.py", "conﬁg = 1", [MAJOR]),
        ("a.js", "ｅｖａｌ(x)", [MINOR]),
        ("a.py", "x = 'ｅｖａｌ'", []),
        ("a.py", "顧客ＩＤ = 1", []),
        ("a.py", "𝒞 = 1", []),
        ("a.lean", "𝓝𝓔 = 1", []),
    ],
)
def test_letters_that_stand_for_ascii_are_told(path: str, text: str, expected: list[Severity]) -> None:
    assert severities(path, text) == expected


def test_python_is_said_to_take_such_letters_for_ascii() -> None:
    (finding,) = found("a.py", "ｅｖａｌ(x)")
    assert "the compiler sees the ASCII name eval" in finding.message
    (finding,) = found("a.js", "ｅｖａｌ(x)")
    assert "the compiler sees another name than eval" in finding.message


def test_a_letter_that_looks_like_a_mark_is_fine_in_text() -> None:
    assert found("a.js", "x = 'ǃKung'  // ǃXóõ") == []


# Code, strings and comments


@pytest.mark.parametrize(
    ("path", "texts"),
    [
        ("a.c", ["/* a", f"ad{ZWSP}min", "*/"]),
        ("a.c", ["/**", f" * ad{ZWSP}min"]),
        ("a.c", [f"ad{ZWSP}min", "end */"]),  # the comment began above
        ("a.py", ['"""Text', f"ad{ZWSP}min"]),
        ("a.py", ["def f():", '    """', f"    ad{ZWSP}min", '    """']),
        ("a.py", [f"ad{ZWSP}min", "and so on.", '"""', "x = 1"]),  # the docstring began above
        ("a.lua", [f"-- ad{ZWSP}min"]),
        ("Makefile", [f"# ad{ZWSP}min"]),
        ("a.rb", [f"x = 'a#b' # ad{ZWSP}min"]),
        ("a.c", [f'x = "a\\"//b"; // ad{ZWSP}min']),
    ],
)
def test_comments_are_known_by_their_delimiters(path: str, texts: list[str]) -> None:
    assert severities(path, *texts) == [MINOR]


@pytest.mark.parametrize(
    ("path", "texts", "severity"),
    [
        ("a.js", ["x = `a", f"ad{ZWSP}min", "`"], MAJOR),
        ("a.py", ['x = """a', f"ad{ZWSP}min"], MAJOR),
        ("a.py", [f"x = f'ad{ZWSP}min'"], MAJOR),
        ("a.py", [f"x = 'ad{ZWSP}min"], CRITICAL),  # never closed: no string
        ("a.py", [f"don't = is{ZWSP}Admin + 'x'"], CRITICAL),
        ("a.c", ["/* a */", f"is{ZWSP}Admin();"], CRITICAL),
        ("a.c", ["/* a", "b */" + f" is{ZWSP}Admin();"], CRITICAL),
        ("a.py", ['"""Text."""', f"is{ZWSP}Admin()"], CRITICAL),
        ("a.c", [f"x = y /* a */ + is{ZWSP}Admin; /* b */"], CRITICAL),
        ("a.c", [f"#define is{ZWSP}Admin 1"], CRITICAL),
        ("a.py", [f"x = y // is{ZWSP}Admin"], CRITICAL),
    ],
)
def test_strings_and_code_are_known_by_their_delimiters(path: str, texts: list[str], severity: Severity) -> None:
    assert severities(path, *texts) == [severity]


def test_a_comment_left_open_does_not_reach_into_the_next_hunk() -> None:
    lines = [*added("/* a", start=1), *added(f"is{ZWSP}Admin();", start=90)]
    assert [finding.severity for finding in deceptive("a.c", lines)] == [CRITICAL]


def test_a_removed_line_opens_no_comment() -> None:
    lines = [Line("-", 1, None, "/* a"), Line("+", None, 1, f"is{ZWSP}Admin();")]
    assert [finding.severity for finding in deceptive("a.c", lines)] == [CRITICAL]


def test_a_comment_is_known_far_below_its_beginning() -> None:
    texts = ["x();"] * 2000 + ["/*"] + ["y"] * 200 + [f"ad{ZWSP}min", "*/", f"is{ZWSP}Admin();"]
    assert severities("a.c", *texts) == [MINOR, CRITICAL]


# True exceptions


def test_a_comment_silences_it() -> None:
    text = f"x = 'ad{ZWSP}min'  # kilo-review: ignore[unicode] the name under test"
    (finding,) = found("a.py", text)
    (ignore,) = ignores_for(finding, ignores_in({10: text}))
    assert (ignore.problem, ignore.reason) == ("", "the name under test")


def test_it_is_switched_off_by_path() -> None:
    switches = Switchboard([Switch("tests/unicode/", off=("unicode",))])
    (inside,) = found("tests/unicode/a.py", f"is{ZWSP}Admin = 1")
    (outside,) = found("src/a.py", f"is{ZWSP}Admin = 1")
    assert switches.objection(inside) == "unicode is switched off here"
    assert switches.objection(outside) == ""


def test_an_id_tells_the_deceptive_line_from_the_honest_one() -> None:
    (finding,) = found("a.py", f"is{ZWSP}Admin = 1")
    (other,) = found("a.py", f"is{WJ}Admin = 1")
    assert finding.fingerprint != other.fingerprint


def test_sources_and_documents_hold_none_of_it_themselves() -> None:
    root = Path(__file__).parents[3]
    for path in [*root.glob("kilo_review/**/*.py"), *root.glob("docs/*.md"), *root.glob("*.md")]:
        text = path.read_text()
        assert deceptive(path.name, added(*text.split("\n"), start=1)) == [], path


def test_the_limits_in_the_document_are_those_of_the_program() -> None:
    page = (Path(__file__).parents[3] / "docs" / "unicode.md").read_text()
    numbers = {3: "four or more invisible", 7: "eight variation selectors"}
    assert numbers[invisible.LONGEST_RUN] in page
    assert numbers[invisible.MOST_SELECTORS] in page
    assert "eight or more private use" in page
    assert invisible.LONGEST_PRIVATE_RUN == 7


# In the pipeline


def test_it_blocks_a_commit_though_no_server_is_there(kilo: Runner, repo: Repo) -> None:
    repo.stage("u.py", "def f(a):\n    x = 1  # \u202e admin\n    return a\n")
    done = kilo("hook", "pre-commit", "--provider", "ollama", "--base-url", "http://127.0.0.1:9")
    assert done.code == 1
    assert "u.py:2: critical: Shown in another order than compiled: U+202E" in done.text
    assert "not reviewed" in done.text
    assert "\u202e" not in done.text


def test_a_comment_with_a_reason_takes_it_out_and_removed_lines_are_not_judged(kilo: Runner, repo: Repo) -> None:
    repo.stage("u.py", "y = 1  # \u202e old\n")
    repo.commit("before")
    repo.stage("u.py", "x = 1  # \u202e admin  kilo-review: ignore[unicode] a test of ours\n")
    report = kilo("--provider", "scripted", "--format", "json").json()
    assert [(found["line"], found["status"]) for found in report["findings"]] == [(1, "suppressed")]


def test_a_long_line_of_look_alikes_is_searched_word_by_word_with_a_look_at_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each word costs the same, and the time limit holds between them."""
    looks: list[float] = []

    def cap(_self: Deadline, timeout: float) -> float:
        looks.append(timeout)
        return timeout

    monkeypatch.setattr(Deadline, "cap", cap)
    line = Line("+", None, 1, "\u0430 " * 2_000)
    counted: list[None] = []
    original = Row.__dict__["code"].func

    def code(row: Row) -> str:
        counted.append(None)
        return str(original(row))

    monkeypatch.setattr(Row, "code", property(code))
    list(search("a.py", [line], deadline=Deadline(60.0)))
    assert len(looks) >= 2_000 // PACE
    assert len(counted) <= 4
