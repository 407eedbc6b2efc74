"""The HTML report in a real browser: it is read, filtered, searched and gone through by keys, and it loads nothing."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from kilo_review.core.finding import Severity, Status
from kilo_review.core.outcome import State
from kilo_review.report.html import render
from tests.conftest import absent, needs
from tests.support.pages import change, finding, large, reviewed, view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

CART = """\
@@ -12,7 +12,8 @@ class Cart:
     def total(self):
         return sum(item.price for item in self.items)

     def mean(self):
-        if not self.items:
-            return 0
         return self.total() / len(self.items)
+
+    def save(self, name):
+        open("carts/" + name, "w").write(self.dump())
"""
SHOP = """\
@@ -0,0 +1,3 @@
+# Shop
+
+<script>alert(1)</script>
"""
ZERO = finding("cart.py", 16, "        return self.total() / len(self.items)", severity=Severity.CRITICAL)
NAME = finding(
    "cart.py",
    19,
    '        open("carts/" + name, "w").write(self.dump())',
    title="The name leads out of the folder",
    message="A `name` such as `../x` writes elsewhere.",
)
OLD = finding("cart.py", 13, "x", title="Known for long", severity=Severity.MINOR, status=Status.BASELINE, reason="old")
ALL = [NAME.title, ZERO.title]
PAGE = (change(("README.md", SHOP), ("cart.py", CART)), ZERO, NAME, OLD)


def artefacts(tmp_path: Path) -> Path:
    """Where pictures are kept for whoever wants to look at them."""
    folder = Path(os.environ.get("KILO_TEST_ARTEFACTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests of this file."""
    chromium = needs("chromium", variable="KILO_TEST_CHROMIUM")
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415  only where there is a browser
    except ImportError:
        absent("playwright is not installed (make test installs it)")
    home = str(tmp_path_factory.mktemp("browser"))
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium,
            chromium_sandbox=os.geteuid() != 0,
            env={"HOME": home, "PATH": os.environ["PATH"]},
        )
        yield started
        started.close()


class Reader:
    """Opens pages, and minds what they ask for and complain about."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.browser = browser
        self.folder = folder
        self.requests: list[str] = []
        self.complaints: list[str] = []

    @contextmanager
    def open(self, text: str, anchor: str = "", **settings: Any) -> Iterator[Page]:
        file = self.folder / "report.html"
        file.write_text(text, encoding="utf-8")
        context = self.browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | settings))
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(f"{file.as_uri()}{anchor}")
        yield page
        context.close()
        assert self.requests == [file.as_uri()]
        assert self.complaints == []
        self.requests.clear()


@pytest.fixture
def reader(browser: Browser, tmp_path: Path) -> Reader:
    return Reader(browser, tmp_path)


@pytest.fixture
def report(reader: Reader) -> Iterator[Page]:
    """A page with two findings that count and one that does not."""
    with reader.open(render(view(*PAGE))) as page:
        yield page


def titles(page: Page) -> list[str]:
    """Of the findings that are to be seen."""
    return [each.inner_text() for each in page.locator("article h3 > span:last-child").all() if each.is_visible()]


def count(page: Page) -> str:
    return page.locator("#shown").inner_text()


def switch(page: Page, word: str) -> Locator:
    return page.locator(f".bar label.{word}")


@pytest.mark.long
def test_what_is_settled_waits_behind_a_switch(report: Page) -> None:
    assert sorted(titles(report), reverse=True) == ALL
    assert count(report) == "2 of 3 findings"
    switch(report, "baseline").click()
    assert OLD.title in titles(report)
    assert count(report) == "3 findings"


@pytest.mark.long
def test_findings_are_filtered_by_severity(report: Page) -> None:
    switch(report, "critical").click()
    assert titles(report) == [NAME.title]
    switch(report, "major").click()
    assert titles(report) == []
    assert report.locator("nav li li:visible").count() == 0
    switch(report, "critical").click()
    assert titles(report) == [ZERO.title]


@pytest.mark.long
def test_a_finding_is_found_by_its_words_by_its_code_and_by_its_file(report: Page) -> None:
    search = report.locator("#search")
    for words, found in {"../X": [NAME.title], "divides": [ZERO.title], "nowhere": []}.items():
        search.fill(words)
        for title in ALL:
            report.locator("article", has_text=title).wait_for(state="visible" if title in found else "hidden")
        assert titles(report) == found
    assert report.locator("#none").is_visible()
    search.fill("# shop")
    report.locator("#none").wait_for(state="hidden")
    assert report.locator(".file:visible h2").all_inner_texts() == ["README.md"]
    search.press("Escape")
    assert len(titles(report)) == 2


@pytest.mark.long
def test_hunks_are_filtered_by_what_became_of_them(reader: Reader) -> None:
    diff = PAGE[0]
    entries = [reviewed(diff, State.NOT_REVIEWED, "the time was up")[0], reviewed(diff)[1]]
    with reader.open(render(view(*PAGE, entries=entries))) as page:
        assert "not reviewed: the time was up" in page.locator(".hunk:visible").first.inner_text()
        switch(page, "reviewed").click()
        assert page.locator(".file:visible h2").all_inner_texts() == ["README.md"]
        assert titles(page) == []


def test_hunks_without_findings_can_be_hidden(report: Page) -> None:
    report.keyboard.press("f")
    assert report.locator(".file:visible h2").all_inner_texts() == ["cart.py"]


@pytest.mark.long
def test_findings_are_reached_by_keyboard_alone(report: Page) -> None:
    focused = "document.activeElement.id"
    report.keyboard.press("j")
    assert report.evaluate(focused) == f"f-{ZERO.short_id}"
    assert count(report) == "1 / 2 of 3 findings"
    report.keyboard.press("j")
    report.keyboard.press("j")
    assert report.evaluate(focused) == f"f-{NAME.short_id}"
    assert report.locator(f"#f-{NAME.short_id}").evaluate("each => getComputedStyle(each).outlineStyle") == "solid"
    report.keyboard.press("k")
    assert report.evaluate(focused) == f"f-{ZERO.short_id}"
    report.keyboard.press("o")
    assert not report.locator(f"#f-{ZERO.short_id}").is_visible()
    report.keyboard.press("j")
    assert report.locator(f"#f-{NAME.short_id}").is_visible(), "its file opens again"
    report.keyboard.press("/")
    report.keyboard.type("jjj")
    assert report.locator("#search").input_value() == "jjj"


def test_help_is_a_key_away_and_single_keys_can_be_switched_off(report: Page) -> None:
    report.keyboard.press("?")
    assert report.locator("#help").is_visible()
    report.locator("#single").uncheck()
    report.keyboard.press("Escape")
    assert not report.locator("#help").is_visible()
    report.keyboard.press("j")
    assert report.evaluate("document.activeElement.className") != "finding critical"


@pytest.mark.long
def test_an_address_leads_to_its_finding_even_if_it_is_switched_off(reader: Reader) -> None:
    with reader.open(render(view(*PAGE)), f"#f-{OLD.short_id}") as page:
        assert page.locator(f"#f-{OLD.short_id}").is_visible()
        assert page.evaluate("document.activeElement.id") == f"f-{OLD.short_id}"


@pytest.mark.parametrize("words", ["</script><script>document.title='x'</script>", "<img src=http://127.0.0.1:9/x>"])
@pytest.mark.long
def test_hostile_words_stay_words(reader: Reader, words: str) -> None:
    hostile = finding("cart.py", 16, words, title=words, message=words, suggestion=words)
    with reader.open(render(view(PAGE[0], hostile, failure=words))) as page:
        assert titles(page) == [words]
        assert page.title() != "x"
        assert page.locator("img").count() == 0


def test_the_policy_stops_what_is_not_ours(reader: Reader) -> None:
    spoilt = render(view(*PAGE)).replace(
        "<main ", "<script>document.title = 'x'</script><b style='color: red'>y</b><main "
    )
    with pytest.raises(AssertionError, match="Content Security Policy"), reader.open(spoilt) as page:
        assert page.title() != "x"


@pytest.mark.long
def test_without_its_script_everything_can_be_read(reader: Reader) -> None:
    with reader.open(render(view(*PAGE)), java_script_enabled=False) as page:
        assert len(titles(page)) == 3
        assert not page.locator(".bar").is_visible()
        page.locator("nav a", has_text=NAME.title).click()
        assert page.locator(f"#f-{NAME.short_id}").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.long
def test_it_follows_the_system_until_it_is_told_otherwise(reader: Reader, scheme: str, tmp_path: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with reader.open(render(view(*PAGE)), color_scheme=scheme) as page:
        grounds = [page.evaluate(ground)]
        page.screenshot(path=artefacts(tmp_path) / f"report-{scheme}.png")
        for _ in range(2):
            page.keyboard.press("t")
            grounds.append(page.evaluate(ground))
        page.reload()
        assert page.evaluate(ground) == grounds[2], "the choice is kept"
        self_made = {"light": grounds[1], "dark": grounds[2]}
        assert grounds[0] == self_made[scheme]
        assert grounds[1] != grounds[2]
        reader.requests.pop()


@pytest.mark.long
def test_a_narrow_window_has_old_and_new_below_each_other(reader: Reader, tmp_path: Path) -> None:
    with reader.open(render(view(*PAGE)), viewport={"width": 390, "height": 800}) as page:
        page.screenshot(path=artefacts(tmp_path) / "report-narrow.png")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        cells = page.locator("tr:has(td.r) td:visible, tr:has(td.g) td:visible").all()
        lefts = [each.evaluate("each => Math.round(each.getBoundingClientRect().x)") for each in cells[1::2]]
        assert len(lefts) > 5
        assert len(set(lefts)) == 1


@pytest.mark.long
def test_it_prints(reader: Reader, tmp_path: Path) -> None:
    with reader.open(render(view(*PAGE)), color_scheme="dark") as page:
        page.emulate_media(media="print")
        assert not page.locator(".bar").is_visible()
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
        page.emulate_media(media="screen")
        printed = page.pdf(path=artefacts(tmp_path) / "report.pdf")
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") >= 1


@pytest.mark.long
def test_five_thousand_findings_are_no_matter(reader: Reader) -> None:
    with reader.open(render(large(files=50, lines=10, findings=100))) as page:
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.matches('article')")
        page.locator("#search").fill("fault 77 ")
        page.locator("#shown", has_text="50 of 5,000").wait_for()
        expect(page.locator("article:visible h3").first).to_have_text(re.compile("Fault 77 of this file$"))
