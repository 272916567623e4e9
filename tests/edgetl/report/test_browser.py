"""The page in real headless Chromium: it draws, sorts, filters, logs no error and asks for nothing.

Needs Debian's packages chromium and chromium-driver: `make test-system` installs them.
"""

import base64
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_factories import HOSTILE, measured_receipt, page_of, region_bundle, sources_of, write_facts

from edgetl.report.sources import read_sources
from edgetl_runtime.commands import Where, run_validate

pytestmark = pytest.mark.system

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SECTIONS = 10
FLIPS = 250
KEYS = {"Tab": 9, "Enter": 13}


@pytest.fixture(scope="module")
def driver() -> Iterator:
    """A headless browser; without one the tests are skipped, and say what is missing."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (extra dev)")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    service = shutil.which("chromedriver")
    if browser is None or service is None:
        pytest.skip("chromium or chromedriver is not installed. Run: make test-system")
    options = selenium.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox refuses to run as root.
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = selenium.Chrome(options=options, service=selenium.ChromeService(service))
    yield found
    found.quit()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A report with every section, real pictures, real answers and real saliency."""
    root = tmp_path_factory.mktemp("whole")
    bundle, data = region_bundle(root / "bundle"), root / "data"
    for number in range(12):
        folder = data / ("red", "green", "blue")[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 255, (48, 48, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
    paths = [bundle, write_facts(root / "run")]
    for variant in ("onnx-fp32", "onnx-int8"):
        paths.append(root / f"{variant}.json")
        run_validate(bundle, data, where=Where(variant)).write(paths[-1])
    changed = json.loads(paths[-1].read_text(encoding="utf-8"))
    answers = changed["predictions"]["predicted"]
    changed["predictions"]["predicted"] = [1 - answer for answer in answers[:6]] + answers[6:]
    paths[-1].write_text(json.dumps(changed), encoding="utf-8")
    return write(root / "report.html", page_of(read_sources(paths), data=data))


@pytest.fixture(scope="module")
def flips(tmp_path_factory) -> Path:
    """A report of many changed answers."""
    rng = np.random.default_rng(0)
    target = np.arange(1000) % 5
    other = target.copy()
    other[:FLIPS] = (other[:FLIPS] + 1) % 5
    names = tuple(f"class {number}" for number in range(5))
    confidence = rng.uniform(0.3, 1, 1000)
    receipts = (
        measured_receipt(target, target, classes=names, confidence=confidence, variant="onnx-fp32"),
        measured_receipt(target, other, classes=names, confidence=confidence),
    )
    return write(tmp_path_factory.mktemp("flips") / "report.html", page_of(sources_of(*receipts)))


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def show(driver, path: Path, width: int = 1200, *, dark: bool = False) -> None:
    """Open a page in a window of a width; logs of pages before are thrown away."""
    driver.get_log("browser")
    driver.get_log("performance")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    driver.get(path.as_uri())


def run(driver, script: str, *arguments):
    return driver.execute_script(script, *arguments)


def column(driver, table: str, number: int) -> list[str]:
    rows = "[...document.querySelectorAll(arguments[0] + ' tbody tr')]"
    return run(driver, f"return {rows}.map(row => row.cells[arguments[1]].innerText)", table, number)


def press(driver, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        event = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        event |= {"text": "\r"} if (key, kind) == ("Enter", "keyDown") else {}
        driver.execute_cdp_cmd("Input.dispatchKeyEvent", event)


def screenshot(driver, path: Path) -> Image.Image:
    found = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
    path.write_bytes(base64.b64decode(found["data"]))
    return Image.open(path)


def test_nothing_is_logged_and_nothing_is_asked_for(driver, whole):
    show(driver, whole)
    time.sleep(0.3)
    assert driver.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert {url for url in asked if not url.startswith("data:")} == {whole.as_uri()}


def test_the_policy_stops_a_script_and_a_request_that_get_in(driver, whole, tmp_path):
    evil = "<script>document.title = 'owned'</script><img src='http://127.0.0.1:9/x.png'></body>"
    show(driver, write(tmp_path / "evil.html", whole.read_text(encoding="utf-8").replace("</body>", evil)))
    assert driver.title != "owned"
    messages = " ".join(entry["message"] for entry in driver.get_log("browser"))
    assert messages.count("Content Security Policy") == 2


def test_every_section_is_drawn(driver, whole):
    show(driver, whole)
    sizes = run(driver, "return [...document.querySelectorAll('main > section')].map(s => s.offsetHeight)")
    assert len(sizes) == SECTIONS
    assert min(sizes) > 60
    drawings = "return [...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().width)"
    assert min(run(driver, drawings)) > 40
    assert run(driver, "return document.querySelectorAll('.map').length") > 0
    loaded = "return [...document.images].every(i => i.complete && i.naturalWidth > 0)"
    assert run(driver, loaded)


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_the_page_never_scrolls_sideways(driver, whole, width):
    show(driver, whole, width)
    assert run(driver, "return document.documentElement.scrollWidth") <= width


def test_a_table_that_goes_on_beyond_its_edge_says_so_until_its_end_is_reached(driver, whole):
    state = "const b = document.querySelector('#training .scroll'); return [...b.classList].sort()"
    mask = "return getComputedStyle(document.querySelector('#training .scroll')).maskImage !== 'none'"
    cue = "return getComputedStyle(document.querySelector('#training caption'), '::after').content"
    show(driver, whole, 1200)
    assert run(driver, state) == ["scroll"]
    show(driver, whole, 390)
    assert run(driver, state) == ["more", "scroll", "sideways"]
    assert run(driver, mask)
    assert "Scroll sideways" in run(driver, cue)
    widths = "const c = document.querySelector('#training caption'); return c.getBoundingClientRect().right"
    assert run(driver, widths) <= 390
    run(driver, "document.querySelector('#training .scroll').scrollLeft = 9999")
    time.sleep(0.2)
    assert run(driver, state) == ["scroll", "sideways"]
    assert not run(driver, mask)


def test_words_of_an_answer_are_not_broken_on_a_phone(driver, tmp_path):
    names = ("functional", "defective")
    base = measured_receipt([0, 1, 0], [0, 1, 0], classes=names, variant="onnx-fp32")
    other = measured_receipt([0, 1, 0], [1, 0, 1], classes=names)
    show(driver, write(tmp_path / "words.html", page_of(sources_of(base, other))), 390)
    lines = """
      const range = document.createRange();
      return [...document.querySelectorAll('#changes tbody td:nth-child(3)')].map(cell => {
        range.selectNodeContents(cell); return range.getClientRects().length; })"""
    assert run(driver, lines) == [1, 1, 1]


def test_a_long_name_does_not_widen_the_page(driver, tmp_path):
    names = ("x" * 300, HOSTILE)
    base = measured_receipt([0, 1, 0], [0, 1, 0], classes=names, variant="onnx-fp32")
    other = measured_receipt([0, 1, 0], [1, 1, 0], classes=names, variant="v" * 200, device="d" * 100)
    show(driver, write(tmp_path / "long.html", page_of(sources_of(base, other))), 320)
    assert run(driver, "return document.documentElement.scrollWidth") <= 320
    assert driver.get_log("browser") == []


def test_text_on_a_phone_is_large_enough_to_read(driver, whole):
    show(driver, whole, 320)
    script = """
      return [...document.querySelectorAll('main *')].filter(e => !e.closest('svg') && e.offsetParent &&
        [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
        .map(e => parseFloat(getComputedStyle(e).fontSize))"""
    assert min(run(driver, script)) >= 11
    scale = "return Math.min(...[...document.querySelectorAll('.panel svg')].map(s => s.getScreenCTM().a))"
    assert 11 * run(driver, scale) >= 9.5


def test_a_table_is_sorted_by_the_buttons_of_its_head(driver, whole):
    show(driver, whole)
    before = column(driver, "#training table.sortable", 0)
    assert before == ["head", "last 2 stages", "all stages"]
    button = driver.find_element("css selector", "#training .sortable th:nth-child(3) button")
    state = "return arguments[0].parentElement.getAttribute('aria-sort')"
    assert run(driver, state, button) == "none"
    button.click()
    assert run(driver, state, button) == "ascending"
    button.click()
    assert run(driver, state, button) == "descending"
    assert column(driver, "#training table.sortable", 0) == before[::-1]
    assert run(driver, "return document.querySelectorAll('#training [aria-sort=descending]').length") == 1


def test_everything_is_reached_and_sorted_by_the_keyboard(driver, whole):
    show(driver, whole)
    run(driver, "document.activeElement.blur(); window.scrollTo(0, 0)")
    press(driver, "Tab")
    assert run(driver, "return document.activeElement.className") == "skip"
    assert run(driver, "return document.activeElement.getBoundingClientRect().left") >= 0
    press(driver, "Enter")
    assert run(driver, "return document.activeElement.id") == "content"
    run(driver, "document.querySelector('#training th button').focus()")
    press(driver, "Enter")
    assert column(driver, "#training table.sortable", 0) == ["all stages", "head", "last 2 stages"]
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert run(driver, outline) == "solid"


def test_the_table_of_changes_is_built_a_page_at_a_time(driver, flips):
    show(driver, flips)
    assert len(column(driver, "#changes", 0)) == 100
    assert driver.find_element("id", "count").text == f"100 of {FLIPS} shown"
    for _ in range(2):
        driver.find_element("id", "more").click()
    assert len(column(driver, "#changes", 0)) == FLIPS
    assert not driver.find_element("id", "more").is_displayed()


def test_the_table_of_changes_is_filtered_by_text_and_kind(driver, flips):
    show(driver, flips)
    driver.find_element("id", "filter").send_keys("CLASS 4")
    assert driver.find_element("id", "count").text == "100 of 100 shown"
    shown = zip(column(driver, "#changes", 2), column(driver, "#changes", 4), strict=True)
    assert all("class 4" in truth + answer for truth, answer in shown)
    driver.find_element("id", "filter").clear()
    driver.find_element("id", "filter").send_keys("no such thing")
    assert driver.find_element("id", "count").text == "0 of 0 shown"
    driver.find_element("id", "filter").clear()
    driver.find_element("id", "filter").send_keys("class 0")
    driver.find_element("css selector", "#kind option:nth-child(3)").click()
    assert column(driver, "#changes", 0) == []


def test_the_table_of_changes_is_filtered_by_receipt_and_tells_its_kinds(driver, tmp_path):
    target = [0, 0, 0, 1]
    receipts = [
        measured_receipt(target, answers, classes=("a", "b", "c"), variant=name)
        for name, answers in (("base", [0, 0, 1, 0]), ("one", [0, 1, 0, 0]), ("two", [1, 1, 2, 2]))
    ]
    show(driver, write(tmp_path / "three.html", page_of(sources_of(*receipts))))
    assert sorted(column(driver, "#changes", 1)) == ["changed", "gained", "lost", "lost"]
    driver.find_element("css selector", "#receipt option:nth-child(2)").click()
    assert sorted(column(driver, "#changes", 1)) == ["gained", "lost"]
    driver.find_element("css selector", "#kind option:nth-child(2)").click()
    assert column(driver, "#changes", 1) == ["lost"]
    assert driver.find_element("id", "count").text == "1 of 1 shown"
    driver.find_element("css selector", "#receipt option:nth-child(3)").click()
    assert column(driver, "#changes", 1) == ["lost", "lost"]
    driver.find_element("css selector", "#kind option:nth-child(1)").click()
    driver.find_element("css selector", "#changes th:nth-child(2) button").click()
    assert column(driver, "#changes", 1) == ["changed", "changed", "lost", "lost"]
    assert driver.get_log("browser") == []


def test_the_table_of_changes_is_sorted_over_all_its_rows(driver, flips):
    show(driver, flips)
    driver.find_element("css selector", "#changes th:nth-child(3) button").click()
    assert set(column(driver, "#changes", 2)) == {"class 0", "class 1"}
    answers = column(driver, "#changes", 2)
    assert answers == sorted(answers)
    head = "return document.querySelector('#changes th:nth-child(3)').getAttribute('aria-sort')"
    assert run(driver, head) == "ascending"


def test_without_scripts_the_cards_and_tables_stay(driver, whole):
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(driver, whole)
        assert len(driver.find_elements("css selector", ".card")) == 6
        assert not driver.find_elements("css selector", "th button")
        assert "needs the page's script" in driver.find_element("css selector", "noscript").text
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_it_is_dark_where_the_reader_wants_it_dark_and_light_on_paper(driver, whole):
    ground = "return getComputedStyle(document.body).backgroundColor"
    show(driver, whole, dark=True)
    assert run(driver, ground) == "rgb(21, 23, 26)"
    paper = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", paper)
    assert run(driver, ground) == "rgb(255, 255, 255)"
    assert not driver.find_element("css selector", "nav").is_displayed()
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


LOOKS = [("desktop", 1200, False), ("phone", 390, False), ("dark", 1200, True)]


@pytest.mark.parametrize(("name", "width", "dark"), LOOKS)
def test_screenshots_are_written(driver, whole, tmp_path, name, width, dark):
    folder = Path(os.environ.get("EDGETL_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    show(driver, whole, width, dark=dark)
    picture = screenshot(driver, folder / f"report-{name}.png").convert("RGB")
    assert picture.width == width
    ground = (21, 23, 26) if dark else (255, 255, 255)
    assert picture.getpixel((2, 2)) == ground
    assert len(picture.resize((200, 400)).getcolors(80_000)) > 50
