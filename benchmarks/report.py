"""What a report of 10,000 pictures weighs, and how soon Chromium shows it: `python -m benchmarks.report`.

Two receipts of random answers, of which some differ; every card has a picture. Opening is the time from the
start of navigation until the page is loaded and its table of changes stands.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.targets import Row
from edgetl.report import Sources, Wanted, build_report
from edgetl.report.sources import Measured
from edgetl_runtime.environment import read_environment
from edgetl_runtime.metrics import figures, recall_per_class
from edgetl_runtime.predictions import Predictions
from edgetl_runtime.receipt import BundleId, DatasetId, Latency, Receipt

PICTURES, CLASSES, CARDS = 10_000, 10, 24
_ROUNDS = 5
_MOST_MB, _MOST_MS = 5, 1_000
_NAMES = tuple(f"class {number}" for number in range(CLASSES))
_ROWS = "return document.querySelectorAll('#changes tbody tr').length"
_OPENED = "const [n] = performance.getEntriesByType('navigation'); return n.loadEventEnd - n.startTime"


def measure() -> dict[str, Any]:
    """Measure at 8 % of changed answers and, as the worst case, at all of them."""
    return {f"{share:.0%} changed": _measure(share) for share in (0.08, 1.0)}


def _measure(share: float) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        hashes = _pictures(Path(folder) / "data")
        sources = _sources(hashes, share)
        begun = perf_counter()
        text = build_report(
            sources, Wanted(data=Path(folder) / "data", cards=CARDS), notify=lambda note: None
        )
        seconds = perf_counter() - begun
        page = Path(folder) / "report.html"
        page.write_text(text, encoding="utf-8")
        # Without Chromium, which make test-system installs, opening is not measured.
        opened, what = _opened_ms(page) or {}, f"{share:.0%} of answers changed"
        rows = (
            Row(f"{what}: size", round(page.stat().st_size / 1e6, 2), _MOST_MB, "MB"),
            Row(f"{what}: opened in Chromium, worst", opened.get("worst"), _MOST_MS, "ms"),
        )
        return {"built_s": round(seconds, 2), "opened_ms": opened, "targets": [row.facts() for row in rows]}


def _pictures(folder: Path) -> list[str]:
    """Write enough pictures for all cards, noisy ones, since these compress worst; return their hashes."""
    hashes = []
    for number in range(CARDS):
        path = folder / _NAMES[number % CLASSES] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 255, (300, 300, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        hashes.append(hashlib.sha256(path.read_bytes()).hexdigest())
    return hashes


def _sources(shown: Sequence[str], share: float) -> Sources:
    """Make two receipts; the pictures on disk are lost with the most confidence, so that cards show them."""
    rng = np.random.default_rng(0)
    rest = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(PICTURES - len(shown))]
    sha256 = (*shown, *rest)
    target = rng.integers(0, CLASSES, PICTURES)
    other = target.copy()
    changed = np.arange(PICTURES) < share * PICTURES
    other[changed] = (other[changed] + rng.integers(1, CLASSES, changed.sum())) % CLASSES
    confidence = rng.uniform(0.3, 0.9, PICTURES)
    confidence[: len(shown)] = 0.95
    receipts = [_receipt(sha256, target, answers, confidence) for answers in (target, other)]
    named = ("onnx-fp32", "openvino-int8")
    return Sources(
        receipts=tuple(
            Measured(name, replace(receipt, variant=name))
            for name, receipt in zip(named, receipts, strict=True)
        )
    )


def _receipt(sha256: tuple[str, ...], target: Any, answers: Any, confidence: Any) -> Receipt:
    recalls = recall_per_class(target, answers, CLASSES)
    return Receipt(
        created="2026-01-01T00:00:00+00:00",
        bundle=BundleId("ab" * 32, "benchmark"),
        variant="onnx-fp32",
        device="cpu",
        dataset=DatasetId("benchmark", "cd" * 32, PICTURES, "test"),
        task="single_label",
        classes=_NAMES,
        figures=figures("single_label", _NAMES, target, answers, None),
        per_class={name: one for name, one in zip(_NAMES, recalls, strict=True) if one is not None},
        latency={stage: Latency(1, 2, 3, PICTURES) for stage in ("preprocess", "infer", "total")},
        size_bytes=4_000_000,
        environment=read_environment(),
        errors=(),
        predictions=Predictions(CLASSES, sha256, target, answers, confidence),
    )


def _opened_ms(page: Path) -> dict[str, float] | None:
    """Open the page several times in one browser, after a blank page; None without a browser."""
    from selenium import webdriver

    browser, service = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or service is None:
        return None
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(service))
    try:
        # A browser's first page waits for its own start: what an empty page takes is told apart.
        plain = page.with_name("plain.html")
        plain.write_text("<!doctype html><title>plain</title><p>plain", encoding="utf-8")
        driver.get(plain.as_uri())
        times = [float(driver.execute_script(_OPENED))]
        for _ in range(_ROUNDS):
            driver.get("about:blank")
            driver.get(page.as_uri())
            assert driver.execute_script(_ROWS) > 0
            times.append(float(driver.execute_script(_OPENED)))
        empty, first, *_ = times
        found = {"first": first, "median": median(times[1:]), "worst": max(times[1:]), "plain page": empty}
        return {name: round(value) for name, value in found.items()}
    finally:
        driver.quit()


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
    sys.exit(0)
