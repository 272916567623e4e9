"""The advice as one HTML page: the card, lists, and thumbnails of suspected pictures. Needs no other file.

Everything that comes from the user's files is escaped, and pictures are made anew from their pixels.
"""

import base64
import io
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import TypeVar

from edgetl.advise.advisor import Advice
from edgetl.advise.card import render_card
from edgetl.advise.data import Copies, Doubt, Listed, Near
from edgetl_runtime.pictures import Picture, Unreadable
from edgetl_runtime.preprocess import Preprocess
from edgetl_runtime.strict_json import well_formed

_T = TypeVar("_T")
_SHOWN, _OF_EACH = 50, 4
_THUMBNAIL = Preprocess(128, 1.0, "bilinear")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
pre { background: #8881; padding: 1rem; overflow-x: auto; line-height: 1.35; }
figure { display: inline-block; width: 17.5rem; margin: 0 1rem 1.5rem 0; vertical-align: top; }
figcaption { font-size: 13px; overflow-wrap: anywhere; }
img { width: 128px; height: 128px; margin-right: 4px; }
"""


def render_page(advice: Advice, flags: Sequence[str] = ()) -> str:
    """Return the page; stray bytes of names that are no UTF-8 are escaped. flags: see `render_card`."""
    data, found = advice.data, advice.suspicions
    sections = [
        f"<h1>Advice: {escape(advice.plan.approach)} with {escape(advice.backbone)}</h1>",
        f"<pre>{escape(render_card(advice, flags))}</pre>",
        _section("Left out", _left_out, data.unreadable),
        _section("Copies in several splits", _copies, data.leaks),
        _section("Copies with contradicting labels", _copies, data.conflicts),
        _section("Doubtful labels", _doubt, Listed(len(found.doubts), found.doubts)),
        _section("Near duplicates, in groups", _near, found.near),
    ]
    head = f'<meta charset="utf-8"><title>edgetl advise</title><style>{_STYLE}</style>'
    body = well_formed("\n".join(sections))
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _section(title: str, draw: Callable[[_T], str], found: Listed[_T]) -> str:
    drawn = [draw(one) for one in found.first[:_SHOWN]]
    shown = f"{len(drawn):,} of {found.count:,}" if found.count > len(drawn) else f"{found.count:,}"
    return "\n".join([f"<h2>{title}: {shown}</h2>", *drawn])


def _left_out(one: Unreadable) -> str:
    return f"<p>{escape(f'{one.path} {one.reason}')}</p>"


def _copies(one: Copies) -> str:
    return _figure([one.pictures[0].path], _named(one.pictures, one.count))


def _doubt(one: Doubt) -> str:
    text = f"{one.path}: labelled {one.given!r}, looks like {one.suggested!r} (margin {one.margin:.2f})"
    return _figure([one.path], [text])


def _near(one: Near) -> str:
    counts = ", ".join(f"{count:,} in {split}" for split, count in one.splits.items())
    said = f"{counts}; the first two differ in {one.bits} of 256 bits"
    paths = [picture.path for picture in one.pictures[:_OF_EACH]]
    return _figure(paths, [said, *_named(one.pictures, one.count)])


def _named(pictures: Sequence[Picture], count: int) -> list[str]:
    """Say where pictures lie and what they are, and how many more there are."""
    lines = [f"{one.split}, {'|'.join(one.labels)}: {one.path}" for one in pictures]
    return [*lines, *([f"{count - len(lines):,} more"] if count > len(lines) else [])]


def _figure(paths: Sequence[Path], lines: Sequence[str]) -> str:
    caption = "<br>".join(map(escape, lines))
    images = "".join(f'<img alt="" src="{_thumbnail(path)}">' for path in paths)
    return f"<figure>{images}<figcaption>{caption}</figcaption></figure>"


def _thumbnail(path: Path) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(_THUMBNAIL(path)).save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
