"""The report in a real browser: it opens in silence, loads nothing, lets its reader choose, and can be read by everyone."""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.report import ReportConfig, run

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the report is not opened in a browser")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on PATH to open the report in")

# The ratio of every text that is shown to what lies behind it (WCAG 2.1, 1.4.3), with the first words of those below 4.5.
FAINT_TEXTS = """() => {
  const parse = c => { const m = c.match(/[\\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const linear = v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = e => {
    for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; }
    return [255, 255, 255, 1];
  };
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || e.closest("svg, style") || !e.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push([walk.currentNode.data.trim().slice(0, 40), ratio]);
  }
  return faint;
}"""
SHOWN = (
    "() => [...document.querySelectorAll('.panel')].filter(p => p.checkVisibility()).map(p => p.querySelector('h3').textContent)"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # Of this module only: while it is open, this thread counts as running an event loop, and asyncio.run is refused.
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def path(whole_page: Path) -> Path:
    return whole_page


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page in a context of its own; what it logs, raises and asks for is in page.log."""
    contexts = []

    def visit(path: Path, **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.log = []
        page.on("console", lambda message: page.log.append(message.text))
        page.on("pageerror", lambda error: page.log.append(str(error)))
        page.on("dialog", lambda dialog: (page.log.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: page.log.append(request.url))
        page.goto(path.as_uri(), wait_until="load")
        return page

    yield visit
    for context in contexts:
        context.close()


def test_it_opens_in_silence_and_asks_for_nothing_but_itself(visit, path):
    page = visit(path)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    page.locator("#show-all").check()
    page.evaluate("Promise.all([...document.images].map(image => { image.loading = 'eager'; return image.decode(); }))")
    assert [entry for entry in page.log if not entry.startswith("data:image/jpeg")] == [path.as_uri()]
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


def test_it_shows_the_best_filter_first_and_any_that_is_clicked(visit, path):
    page = visit(path)
    assert page.evaluate(SHOWN) == ["clip_score"]
    page.get_by_role("radio", name="no_filter", exact=True).click()
    assert page.evaluate(SHOWN) == ["no_filter"]
    page.get_by_text("all of them").click()
    assert page.evaluate(SHOWN) == ["no_filter", "clip_score", "random_clip_score"]


def test_arrow_keys_choose_a_filter_and_the_focus_is_seen(visit, path):
    page = visit(path)
    page.locator("#pairs input:checked").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate(SHOWN) == ["random_clip_score"]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(SHOWN) == ["no_filter"]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_tab_comes_first_to_a_link_past_the_header_that_works(visit, path):
    page = visit(path)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left >= 0")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_on_paper_and_where_css_lacks_has_every_filter_is_shown(visit, path, tmp_path):
    page = visit(path)
    page.emulate_media(media="print")
    everything = ["no_filter", "clip_score", "random_clip_score"]
    assert page.evaluate(SHOWN) == everything
    assert not page.locator("fieldset").is_visible()
    old = tmp_path / "old.html"
    old.write_text(path.read_text("utf-8").replace("@supports selector(:has(*))", "@supports selector(:never(*))"), "utf-8")
    page = visit(old)
    assert page.evaluate(SHOWN) == everything
    assert not page.locator("fieldset").is_visible()


HOSTILE = [
    "<script>window.hacked = 1; alert(1)</script>",
    '"><img src=x onerror="window.hacked = 2">',
    "' onmouseover='window.hacked = 3' autofocus onfocus='window.hacked = 4",
    "</title></style></svg></table><svg onload='window.hacked = 5'>",
    "javascript:window.hacked=6",
]


def test_alt_texts_that_hold_markup_stay_texts(visit, build_root, make_pairs, tmp_path):
    rows = make_pairs(40)
    for i, row in enumerate(rows):
        text = HOSTILE[i % len(HOSTILE)]
        row.update(text=text, url=f"javascript:window.hacked=7//{i}\"'><script>window.hacked = 8</script>")
        row["uid"] = hashlib.md5((row["text"] + row["url"]).encode(), usedforsecurity=False).hexdigest()
    root = build_root(rows)
    shutil.rmtree(root / "7_ranking")  # names of filters are ours; what is drawn of them is tested elsewhere
    run(ReportConfig(root=str(root), out=str(tmp_path / "r.html")))
    page = visit(tmp_path / "r.html")
    page.locator("#show-all").check()
    captions = page.locator(".caption")
    assert set(captions.all_inner_texts()) == set(HOSTILE)
    captions.first.hover()
    assert page.evaluate("window.hacked === undefined")
    assert page.evaluate("document.scripts.length") == 0
    assert [entry for entry in page.log if not entry.startswith("data:image/jpeg")] == [(tmp_path / "r.html").as_uri()]


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_screen(visit, path, width):
    page = visit(path, viewport={"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_lies_behind_it(visit, path, scheme):
    page = visit(path, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    page.locator("#show-all").check()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    assert dark == (scheme == "dark")
    assert page.evaluate(FAINT_TEXTS) == []


def test_what_moves_keeps_still_for_readers_who_ask_for_it(visit, path):
    page = visit(path, reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_its_parts_have_names_and_an_order_for_readers_who_do_not_see_it(visit, path):
    page = visit(path)
    assert page.evaluate("[...document.querySelectorAll('input')].filter(i => !i.labels.length).length") == 0
    assert page.evaluate("[...document.images].filter(i => !i.hasAttribute('alt')).length") == 0
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    levels = [int(tag[1]) for tag in page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5')].map(e => e.tagName)")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert page.evaluate("['header', 'nav', 'main', 'footer'].every(tag => document.querySelectorAll(tag).length === 1)")
    assert page.evaluate(
        "[...document.querySelectorAll('svg')].every(s => s.ariaHidden || (s.role && s.getAttribute('aria-label')))"
    )
    assert page.evaluate("[...document.querySelectorAll('table')].filter(t => !t.caption).length") == 0
    assert page.evaluate("[...document.querySelectorAll('th')].filter(t => !t.scope).length") == 0
    regions = page.evaluate("[...document.querySelectorAll('[tabindex=\"0\"]')].map(e => e.getAttribute('aria-label'))")
    assert all(regions)


def test_a_page_of_many_filters_and_pairs_stays_small(build_root, make_pairs, tmp_path):
    root = build_root(make_pairs(600))
    shutil.rmtree(root / "7_ranking")
    for n in range(6):
        for suffix in (".npy", ".json"):
            shutil.copy(root / "5_subsets" / f"clip_score{suffix}", root / "5_subsets" / f"clip_score_{n}{suffix}")
    out = tmp_path / "r.html"
    run(ReportConfig(root=str(root), out=str(out), pairs=200))
    html = out.read_text("utf-8")
    assert out.stat().st_size < 5_000_000
    assert 200 < len(re.findall("<img", html)) <= 480
