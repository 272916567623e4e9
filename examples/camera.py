"""Label the frames of a camera. Run with: python camera.py BUNDLE [CAMERA]  Needs opencv-python for a camera.

`label_frames` takes any frames: of OpenCV, of a GStreamer pipeline, of an industrial camera's own library.
"""

import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime import Session

LAST = 5  # frames that vote: one blurred frame must not switch a valve


class Labelled(NamedTuple):
    """A frame's own label, that of the last frames together, and how long it took."""

    label: str | None
    steady: str | None
    confidence: float
    milliseconds: float


def label_frames(session: Session, frames: Iterable[NDArray[np.uint8]]) -> Iterator[Labelled]:
    """Label RGB frames (height, width, 3); a frame without a label votes for none."""
    votes: deque[str | None] = deque(maxlen=LAST)
    for frame in frames:
        started = time.perf_counter()
        found = session.predict(frame)
        votes.append(found.label)
        label, count = Counter(votes).most_common(1)[0]
        steady = label if 2 * count > len(votes) else None
        yield Labelled(found.label, steady, found.confidence, 1000 * (time.perf_counter() - started))


def camera_frames(camera: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the newest frame of a camera, in RGB, until it is unplugged."""
    import cv2

    capture = cv2.VideoCapture(camera)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # what is shown is now, not a second ago
    try:
        while True:
            there, frame = capture.read()
            if not there:
                return
            yield np.ascontiguousarray(frame[..., ::-1])  # OpenCV gives BGR
    finally:
        capture.release()


if __name__ == "__main__":
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with Session.open(sys.argv[1]) as session:
        for found in label_frames(session, camera_frames(number)):
            print(f"\r{found.steady or '-':20} {found.confidence:.3f} {found.milliseconds:6.1f} ms", end="")
