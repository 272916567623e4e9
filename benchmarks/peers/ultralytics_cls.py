"""ultralytics' smallest classifier exported to OpenVINO: from a JPEG file to its label, by `YOLO.predict`.

The weights are random, since none can be fetched here; they do not change the time. AGPL-3.0: it runs here as
a program of its own, and nothing of edgetl depends on it.
"""

from collections.abc import Callable
from pathlib import Path

import answering
from ultralytics import YOLO


def prepare(bundle: Path, folder: Path) -> None:
    """Export, which is no part of any time."""
    exported = YOLO("yolo11n-cls.yaml").export(format="openvino", imgsz=224, verbose=False)
    (folder / "model.txt").write_text(str(Path(exported).absolute()), encoding="utf-8")


def load(folder: Path, picture: Path) -> Callable[[], object]:
    """Open it."""
    model = YOLO((folder / "model.txt").read_text(encoding="utf-8"), task="classify")
    return lambda: model.predict(str(picture), imgsz=224, verbose=False)


if __name__ == "__main__":
    answering.main(prepare, load)
