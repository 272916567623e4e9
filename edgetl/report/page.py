"""The page: a table of sections, each a function and a template, drawn into one file that asks for nothing.

Everything that others wrote is escaped by jinja2. The policy in the head lets no request out, and lets no
script run but the page's own, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from edgetl.report.facts import Facts, Missing
from edgetl.report.sections import (
    classes,
    confusion,
    data,
    flips,
    latency,
    provenance,
    reliability,
    training,
    variants,
    verdict,
)
from edgetl_runtime import __version__
from edgetl_runtime.metrics import Figure


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: its template is `<name>.html`, which sees what `context` returns."""

    name: str
    title: str
    context: Callable[[Facts], object]


SECTIONS: tuple[Section, ...] = (
    Section("verdict", "Verdict", verdict.context),
    Section("variants", "Variants", variants.context),
    Section("flips", "Changed answers", flips.context),
    Section("confusion", "Confusions", confusion.context),
    Section("classes", "Classes", classes.context),
    Section("reliability", "Reliability of the confidence", reliability.context),
    Section("latency", "Time for one picture", latency.context),
    Section("training", "Training", training.context),
    Section("data", "Data", data.context),
    Section("provenance", "Provenance", provenance.context),
)


def render(facts: Facts) -> str:
    """Return the whole page."""
    found = [(section, section.context(facts)) for section in SECTIONS]
    pages = _environment()
    script = pages.get_template("script.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return pages.get_template("page.html").render(
        title=facts.sources.title,
        created=facts.created,
        version=__version__,
        shown=[(section, content) for section, content in found if not isinstance(content, Missing)],
        missing=[(section, content) for section, content in found if isinstance(content, Missing)],
        script=script,
        script_hash=f"sha256-{digest}",
    )


def _environment() -> Environment:
    pages = Environment(
        loader=PackageLoader("edgetl.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    pages.filters |= {
        "percent": lambda share: f"{100 * share:.1f} %",
        "interval": _interval,
        "signed": lambda share: f"{100 * share:+.1f}".replace("-", "\N{MINUS SIGN}") if share else "0.0",
        "words": lambda name: "AUC" if name == "auc" else name.replace("_", " "),
        "sentence": lambda text: text[:1].upper() + text[1:],
        "thousands": lambda count: f"{count:,}",
        "ms": lambda time_ms: f"{time_ms:.2f}",
        "megabytes": lambda size_bytes: f"{size_bytes / 1e6:.1f}",
    }
    return pages


def _interval(figure: Figure) -> str:
    return f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"
