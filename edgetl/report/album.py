"""Finds pictures by the hash of their bytes and makes them small enough for a report."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgetl.report.sources import Sources
from edgetl_runtime.decode import open_picture, orientation, shrink, to_rgb, turn
from edgetl_runtime.errors import DatasetError, PictureError
from edgetl_runtime.pictures import index
from edgetl_runtime.pillow import pillow

SIDE = 96
_QUALITY = 72
_SPLITS = "dataset.csv"  # of a run


@dataclass(frozen=True, slots=True)
class Album:
    """Where pictures lie, by their hash; `reason` says why some or all are not there."""

    paths: Mapping[str, Path] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture as a data URI, or the reason why there is none. width, height: in pixels."""

    uri: str = ""
    width: int = SIDE
    height: int = SIDE
    reason: str = ""


def open_album(sources: Sources, data: Path | None, wanted: Iterable[str]) -> Album:
    """Look for the pictures of these hashes in `data`, or where the run found its pictures.

    Raises:
        DatasetError: `data` was given and is no dataset.
    """
    hashes = set(wanted)
    if not hashes:
        return Album()
    if data is not None:
        return _album(data, hashes)
    if sources.run_folder is None:
        return Album(reason="No pictures are shown: give --data with the folder or CSV file of the pictures.")
    try:
        return _album(sources.run_folder / _SPLITS, hashes)
    except DatasetError as error:
        return Album(reason=f"No pictures are shown, those of the run are not there: {error}")


def _album(data: Path, hashes: set[str]) -> Album:
    found = {one.sha256: one.path for one in index(data, check=False, max_unreadable=1.0).pictures}
    paths = {sha256: found[sha256] for sha256 in hashes & found.keys()}
    absent = len(hashes) - len(paths)
    return Album(paths, f"{absent:,} of the pictures are not in {data}." if absent else "")


def thumbnail(path: Path) -> Thumbnail:
    """Make an upright JPEG of at most 96 pixels a side."""
    from PIL.Image import Resampling

    try:
        image = open_picture(path)
        shrink(image, SIDE)
        upright = turn(to_rgb(image), orientation(image))
        with pillow(str(path)):
            upright.thumbnail((SIDE, SIDE), Resampling.BOX)
            return Thumbnail(data_uri(upright), *upright.size)
    except PictureError as error:
        return Thumbnail(reason=f"This picture {error.reason}.")


def data_uri(image: object) -> str:
    """Return a PIL image as a JPEG in a data URI."""
    from PIL.Image import Image

    assert isinstance(image, Image)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
