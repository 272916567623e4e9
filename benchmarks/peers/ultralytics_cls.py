"""ultralytics' smallest classifier exported to OpenVINO: from a JPEG file to its label, by `YOLO.predict`.

The weights are random, since none can be fetched here; they do not change the time. AGPL-3.0: it runs here as
a program of its own, and nothing of edgetl depends on it.
"""

import sys
from pathlib import Path

from answering import answer
from ultralytics import YOLO


def main() -> None:
    """Export once, and serve."""
    picture = Path(sys.argv[2])
    folder = YOLO("yolo11n-cls.yaml").export(format="openvino", imgsz=224, verbose=False)
    model = YOLO(folder, task="classify")
    answer(lambda: model.predict(str(picture), imgsz=224, verbose=False))


if __name__ == "__main__":
    main()
