"""The page as text: self-contained, escaped, in order, and legible by the numbers."""

import base64
import hashlib
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from report_factories import (
    HOSTILE,
    SEARCH,
    TUNED,
    measured_receipt,
    page_of,
    region_bundle,
    sources_of,
    two_receipts,
    write_facts,
)
from tiny_bundle import tiny_bundle

from edgetl.report import page
from edgetl.report.page import SECTIONS
from edgetl.report.sources import read_sources
from edgetl_runtime.commands import Where, run_validate

TEMPLATES = Path(page.__file__).parent / "templates"
CSS = (TEMPLATES / "style.css").read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Collects tags with their attributes; complains where tags do not close."""

    VOID = ("meta", "link", "img", "input")

    def __init__(self, text):
        super().__init__()
        self.tags, self._open = [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def all(self, *names):
        return [(tag, attrs) for tag, attrs in self.tags if tag in names]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A page with every section: a run, a bundle whose variants were measured, and two receipts."""
    root = tmp_path_factory.mktemp("whole")
    bundle = tiny_bundle(root / "bundle")
    paths = [write_facts(root / "run"), bundle]
    for name, receipt in zip(("a", "b"), two_receipts(), strict=True):
        receipt.write(root / f"{name}.json")
        paths.append(root / f"{name}.json")
    return page_of(read_sources(paths))


def test_every_section_is_there_in_order(whole):
    assert re.findall(r'<section id="(\w+)"', whole) == [section.name for section in SECTIONS]
    assert "Not in this report" not in whole


def test_the_page_names_no_address_and_its_policy_lets_nothing_out(whole):
    outline = Outline(whole)
    urls = [value for _, attrs in outline.tags for name, value in attrs.items() if name in ("src", "href")]
    assert all(url.startswith(("#", "data:")) for url in urls)
    assert not re.search(r"@import|url\(|https?:", whole)
    (policy,) = [attrs["content"] for _, attrs in outline.all("meta") if "http-equiv" in attrs]
    assert policy.startswith("default-src 'none';")
    assert "script-src 'sha256-" in policy


def test_the_policy_names_the_script_that_is_there(whole):
    (script,) = re.findall(r"<script>(.*?)</script>", whole, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in whole


def test_headings_are_in_order_and_there_is_one_of_the_first(whole):
    levels = [int(tag[1]) for tag, _ in Outline(whole).all("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))


def test_pictures_drawings_and_fields_have_names(whole):
    outline = Outline(whole)
    assert all(attrs.get("alt") for _, attrs in outline.all("img"))
    drawings = outline.all("svg")
    assert drawings and all(attrs["role"] == "img" for _, attrs in drawings)
    assert whole.count("<svg") == len(re.findall(r"<svg[^>]*><title>[^<]+</title>", whole))
    labelled = {attrs.get("for") for _, attrs in outline.all("label")}
    assert {attrs["id"] for _, attrs in outline.all("input", "select")} <= labelled
    assert all("scope" in attrs for _, attrs in outline.all("th"))
    assert whole.count("<table") == whole.count("<caption")
    assert outline.all("html")[0][1]["lang"] == "en"
    assert outline.all("a")[0][1] == {"class": "skip", "href": "#content"}


def test_the_axis_of_the_verdict_stands_with_its_drawing_before_the_sentences(whole):
    section = whole.partition('id="verdict"')[2].partition("</section>")[0]
    drawing, _, sentences = section.partition("</figure>")
    assert drawing.index('class="strip tall"') < drawing.index('class="axis"') < drawing.index("<figcaption>")
    assert "The drop of accuracy" in sentences
    assert "axis" not in sentences


def test_no_id_is_given_twice(whole):
    ids = [attrs["id"] for _, attrs in Outline(whole).tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_hostile_names_of_classes_and_sources_stay_text(tmp_path):
    base = measured_receipt([0, 1, 0], [0, 1, 0], classes=("cat", HOSTILE), variant="onnx-fp32")
    other = measured_receipt([0, 1, 0], [1, 0, 0], classes=("cat", HOSTILE), variant=HOSTILE, device=HOSTILE)
    text = page_of(sources_of(base, other))
    outline = Outline(text)
    assert len(outline.all("script")) == 2  # the data and the page's own
    assert not outline.all("img")
    assert "{{7*7}}" in text  # no template inside a template
    assert HOSTILE not in text
    table = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)[1]
    assert HOSTILE in json.loads(table)["words"]


def test_a_hostile_run_stays_text(tmp_path):
    step = {"name": HOSTILE, "parameters": 1, "seconds": 1, "validation_loss": 1, "accuracy": 1}
    step |= {"balanced_accuracy": 1, "kept": False, "reason": HOSTILE}
    step |= {"epochs": [{"validation_loss": 1, "balanced_accuracy": 1}]}
    step |= {"tuned": TUNED | {"stopped": HOSTILE}}
    plan = {"approach": HOSTILE, "reasons": [HOSTILE] * 2}
    search = {
        "attempts": [one | {"backbone": HOSTILE, "failed": HOSTILE} for one in SEARCH["attempts"]],
        "probes": [one | {"block": HOSTILE, "stages": HOSTILE} for one in SEARCH["probes"]],
        "advice": {"backbone": HOSTILE, "plan": plan},
    }
    changes = {"name": HOSTILE, "licence": HOSTILE, "recipe": {HOSTILE: HOSTILE, "unfreeze": HOSTILE}}
    run = write_facts(tmp_path / "run", steps=[step], search=search, **changes)
    (run / "dataset.csv").write_text("path,label,split\na,<img src=x>,train\n", encoding="utf-8")
    outline = Outline(page_of(read_sources([run])))
    assert len(outline.all("script")) == 1
    assert not outline.all("img")


def test_changed_pictures_are_shown_with_what_mattered_to_both_answers(tmp_path):
    bundle = region_bundle(tmp_path / "bundle")
    folder = tmp_path / "data/red"
    folder.mkdir(parents=True)
    for number, light in enumerate((40, 200, 220)):
        Image.new("RGB", (32, 32), (light, light, light)).save(folder / f"{number} <b>.png")
    for name in ("green", "blue"):
        (tmp_path / "data" / name).mkdir()
        Image.new("RGB", (32, 32), (0, len(name), 0)).save(tmp_path / "data" / name / "a.png")
    base = run_validate(bundle, tmp_path / "data", where=Where("onnx-fp32"))
    other = run_validate(bundle, tmp_path / "data", where=Where("onnx-int8"))
    wrong = other.predictions.predicted.copy()
    wrong[:] = 2
    object.__setattr__(other.predictions, "predicted", wrong)
    base.write(tmp_path / "a.json")
    other.write(tmp_path / "b.json")
    sources = read_sources([bundle, tmp_path / "a.json", tmp_path / "b.json"])
    text = page_of(sources, data=tmp_path / "data", saliency=1)
    assert text.count('class="map"') == 2
    changed = text.partition('id="confusion"')[0]
    captions = re.findall(r"<figcaption>(onnx-[^<]+) \d\.\d\d<(span|/fig)", changed)
    assert captions == [("onnx-fp32: green", "/fig"), ("onnx-int8: blue", "span")]
    assert changed.count('<span class="here">here: green</span>') == 1
    assert "On this machine it says green, and the receipt blue." in changed
    assert "that machine gives another answer than the receipt" in changed
    assert text.count("<img ") == text.count('class="card"') - 1 > 0
    assert "&lt;b&gt;.png" in text
    assert "<b>" not in text
    nothing = page_of(sources, data=tmp_path / "data", saliency=0, cards=0)
    assert 'class="map"' not in nothing
    assert 'class="card"' not in nothing
    assert 'id="changes"' in nothing


def test_of_several_labels_the_one_that_changed_is_explained_in_both_variants(tmp_path):
    bundle = region_bundle(tmp_path / "bundle", task="multi_label")
    for name, light in (("a", 250), ("b", 5)):
        Image.new("RGB", (32, 32), (light, light, light)).save(tmp_path / f"{name}.png")
    labels = "path,label,split\na.png,red,test\nb.png,green|blue,test\n"
    (tmp_path / "data.csv").write_text(labels, encoding="utf-8")
    base = run_validate(bundle, tmp_path / "data.csv", where=Where("onnx-fp32"))
    other = run_validate(bundle, tmp_path / "data.csv", where=Where("onnx-int8"))
    odd = other.predictions.predicted.copy()
    odd[other.predictions.target[:, 0], 2] = True  # The picture of red is blue as well.
    object.__setattr__(other.predictions, "predicted", odd)
    base.write(tmp_path / "a.json")
    other.write(tmp_path / "b.json")
    sources = read_sources([bundle, tmp_path / "a.json", tmp_path / "b.json"])
    changed = page_of(sources, data=tmp_path / "data.csv").partition('id="confusion"')[0]
    captions = re.findall(r"<figcaption>(onnx-[^<]+) 0\.01<", changed)
    assert captions == ["onnx-fp32: blue", "onnx-int8: blue"]
    assert changed.count('<span class="here">here: red</span>') == 1
    assert "On this machine it says red, and the receipt red|blue." in changed


def test_a_report_of_one_receipt_says_what_else_it_could_show():
    text = page_of(sources_of(two_receipts()[0]))
    assert "Changed answers: give two receipts of the same pictures." in text
    assert re.findall(r'<section id="(\w+)"', text) == [
        "verdict",
        "variants",
        "confusion",
        "classes",
        "reliability",
        "latency",
        "data",
        "provenance",
    ]


def colours(dark):
    """The colours of style.css as {name: (r, g, b)}, those of the dark scheme over the light ones."""
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    assert len(blocks) == 2
    found = dict(re.findall(r"--([a-z]+): #([0-9a-f]{6})", blocks[0]))
    if dark:
        found |= dict(re.findall(r"--([a-z]+): #([0-9a-f]{6})", blocks[1]))
    return {name: tuple(bytes.fromhex(value)) for name, value in found.items()}


def luminance(colour):
    """WCAG 2.2, relative luminance."""
    parts = [part / 255 for part in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["text", "quiet", "accent", "pass", "fail", "unsure"])
def test_text_has_the_contrast_of_wcag_aa(name, dark):
    found = colours(dark)
    assert contrast(found[name], found["ground"]) >= 4.5
    assert contrast(found[name], found["raised"]) >= 4.5


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["accent", "fail"])
def test_numbers_can_be_read_in_the_hottest_cell_of_a_matrix(name, dark):
    found = colours(dark)
    most = int(re.search(r"--heat-most: (\d+)%", CSS)[1]) / 100
    mixed = tuple(most * a + (1 - most) * b for a, b in zip(found[name], found["ground"], strict=True))
    assert contrast(found["text"], mixed) >= 4.5


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_marks_stand_out_from_the_ground(dark):
    found = colours(dark)
    assert contrast(found["accent"], found["ground"]) >= 3
    assert contrast(found["accent"], found["soft"]) >= 3  # the interval in the shaded zone


def test_every_colour_is_a_variable():
    rules = re.sub(r":root \{.*?\}", "", CSS, flags=re.DOTALL)
    assert not re.search(r"#[0-9a-fA-F]{3,6}\b|rgb\(|hsl\(", rules)
