"""The runtime beside the bare limit and its peers: from a JPEG of 1280 × 1920 to the label, and for long.

    python -m benchmarks.runtime demo/bundle [--parts end_to_end,stream,cold,memory,threads] [--rounds N]
                                             [--predictions N] [--picture FILE] [--out FILE]

Each part prints its figures beside their targets. Peers run in environments of their own, where
`benchmarks/peers/make.sh` made them; one that is not there is left out and said.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import machine, peers
from edgetl_runtime import Session
from edgetl_runtime.benching import sample_picture

_VARIANT = "openvino-int8"
_ORT_VARIANT = "onnx-int8"
_SETTLED = 1_000
_THREADS = 32
_STREAMED = 64


def main() -> int:
    """Run the parts that are asked for."""
    given = _arguments()
    picture = sample_picture() if given.picture is None else given.picture.read_bytes()
    results: dict[str, Any] = {"machine": machine.facts(), "picture_bytes": len(picture)}
    for name in given.parts.split(","):
        results[name] = _PARTS[name](given, picture)
        print(f"\n{name}\n{json.dumps(results[name], indent=2)}", flush=True)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


def end_to_end(given: argparse.Namespace, picture: bytes) -> dict[str, Any]:
    """Time one picture, each way once a round: the limit, ours, torchvision and the peers."""
    with (
        Session.open(given.bundle, variant=_VARIANT) as session,
        peers.running(given.bundle, picture) as found,
    ):
        pixels = session.preprocess(picture)[np.newaxis]
        decode, infer = _bare_decode(session, picture), _bare_infer(session, pixels)
        ways: dict[str, Callable[[], object]] = {
            "bare decode": decode,
            "bare int8": infer,
            "limit: bare decode, then bare int8": lambda: (decode(), infer()),
            "ours: Session.predict": lambda: session.predict(picture),
            "torchvision + ONNX Runtime int8": _torchvision(given.bundle, picture),
        }
        times = machine.interleaved_ms(ways | found.ways, given.rounds)
    times |= found.inside_ms(given.rounds)
    ours, limit = "ours: Session.predict", "limit: bare decode, then bare int8"
    return {
        "p50_ms": machine.medians(times),
        "ours / limit": machine.ratio(times, ours, limit),
        "others / ours": {
            name: machine.ratio(times, name, ours) for name in times if name not in (ours, limit)
        },
        "left out": found.missing,
        "target": "ours / limit <= 1.15; torchvision >= 3.5, openvino-model-api >= 2.8, ultralytics >= 2.5",
    }


def stream(given: argparse.Namespace, picture: bytes) -> dict[str, Any]:
    """Compare pictures per second: `predict` in a loop, and `stream` with either hint."""
    with (
        Session.open(given.bundle, variant=_VARIANT) as session,
        Session.open(given.bundle, variant=_VARIANT, hint="throughput") as throughput,
    ):
        pictures = [picture] * _STREAMED
        ways: dict[str, Callable[[], object]] = {
            "predict in a loop": lambda: [session.predict(one) for one in pictures],
            "stream": lambda: list(session.stream(pictures)),
            "stream, opened for throughput": lambda: list(throughput.stream(pictures)),
        }
        times = machine.interleaved_ms(ways, max(3, given.rounds // 10), warm_up=1)
    loop = "predict in a loop"
    return {
        "pictures_per_s": {name: round(1000 * _STREAMED / median(taken), 1) for name, taken in times.items()},
        "loop / stream": {name: machine.ratio(times, loop, name) for name in times if name != loop},
        "target": ">= 1.5 on 2 cores",
    }


def cold(given: argparse.Namespace, picture: bytes) -> dict[str, Any]:
    """Time fresh processes: the import over numpy's, and open and first answer, cold and with the cache."""
    rows: dict[str, list[dict[str, float]]] = {"cold": [], "cached": []}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "picture.jpg"
        file.write_bytes(picture)
        for number in range(max(3, given.rounds // 20)):
            cache = {"EDGETL_CACHE": str(Path(folder) / f"cache{number}")}
            for name in ("cold", "cached"):
                command = [sys.executable, "-c", _COLD, str(given.bundle), _VARIANT, str(file)]
                done = subprocess.run(
                    command, env=os.environ | cache, check=True, capture_output=True, text=True
                )
                rows[name].append(json.loads(done.stdout))
    return {
        name: {key: round(median(row[key] for row in found), 1) for key in found[0]}
        for name, found in rows.items()
    } | {"target": "import <= 25 ms over numpy; open and answer <= 600 ms cold, <= 300 ms cached"}


def memory(given: argparse.Namespace, picture: bytes) -> dict[str, Any]:
    """Predict for long; resident memory and open files after the first thousand and at the end."""
    small = _small(picture)
    with Session.open(given.bundle, variant=_VARIANT) as session:
        readings = []
        for number in range(given.predictions):
            session.predict(small)
            if number + 1 in (min(_SETTLED, given.predictions // 2), given.predictions):
                readings.append((number + 1, _resident_bytes(), len(list(Path("/proc/self/fd").iterdir()))))
    (first, before, files), (last, after, files_after) = readings
    return {
        "predictions": last,
        "grown_mb_after_the_first": {first: round((after - before) / 1e6, 2)},
        "files_opened_and_left": files_after - files,
        "target": "<= 2 MB and no file",
    }


def threads(given: argparse.Namespace, picture: bytes) -> dict[str, Any]:
    """Predict from 32 threads; every answer is held against the one that a single thread got."""
    scenes = [_small(picture, number) for number in range(16)]
    results = {}
    for hint in ("latency", "throughput"):
        with Session.open(given.bundle, variant=_VARIANT, hint=hint) as session:
            expected = [session.predict(scene).logits for scene in scenes]

            def wrong(number: int, session: Session = session, expected: Any = expected) -> bool:
                answer = session.predict(scenes[number % 16])
                return not np.allclose(answer.logits, expected[number % 16], atol=1e-4)

            with ThreadPoolExecutor(_THREADS) as pool:
                results[hint] = sum(pool.map(wrong, range(given.predictions), chunksize=100))
    return {"predictions": given.predictions, "wrong": results, "target": "none wrong"}


_PARTS = {"end_to_end": end_to_end, "stream": stream, "cold": cold, "memory": memory, "threads": threads}

_COLD = """
import json, sys, time
begun = time.perf_counter()
import numpy
counted = time.perf_counter()
import edgetl_runtime
imported = time.perf_counter()
session = edgetl_runtime.Session.open(sys.argv[1], variant=sys.argv[2])
opened = time.perf_counter()
session.predict(sys.argv[3])
answered = time.perf_counter()
print(json.dumps({
    "numpy_ms": 1000 * (counted - begun), "import_ms": 1000 * (imported - counted),
    "open_ms": 1000 * (opened - imported), "first_answer_ms": 1000 * (answered - opened),
    "open_and_answer_ms": 1000 * (answered - imported),
}))
"""


def _bare_decode(session: Session, picture: bytes) -> Callable[[], object]:
    """The scaled decode by itself, at the size that the session decodes to."""
    import simplejpeg

    width, height = session.preprocess.decode(picture).image.size
    return lambda: simplejpeg.decode_jpeg(picture, min_height=height, min_width=width)


def _bare_infer(session: Session, pixels: Any) -> Callable[[], object]:
    """OpenVINO by itself, compiled as the session compiles."""
    import openvino

    core = openvino.Core()
    model = session.bundle.path(session.variant.model)
    graph = core.read_model(model, model.with_suffix(".bin"))
    graph.reshape({"images": pixels.shape})
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(graph, "CPU", settings).create_infer_request()
    return lambda: request.infer([pixels], share_inputs=True, share_outputs=True)


def _torchvision(bundle: Path, picture: bytes) -> Callable[[], object]:
    """The usual way: Pillow in full size, torchvision's transforms, ONNX Runtime. The graph normalizes."""
    import onnxruntime
    from torchvision.transforms import v2

    with Session.open(bundle, variant=_ORT_VARIANT) as ours:
        model, size = ours.bundle.path(ours.variant.model), ours.preprocess.size
        side = round(size / ours.preprocess.crop)
    steps = v2.Compose(
        [
            v2.Resize(side, interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
            v2.CenterCrop(size),
            v2.PILToTensor(),
        ]
    )
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])

    def run() -> object:
        pixels = steps(Image.open(BytesIO(picture)).convert("RGB")).permute(1, 2, 0).contiguous().numpy()
        return session.run(["probabilities"], {"images": pixels[np.newaxis]})

    return run


def _small(picture: bytes, turned: int = 0) -> bytes:
    """A picture of 320 × 240, so that long runs take minutes; each turn gives another one."""
    image = Image.open(BytesIO(picture)).convert("RGB").resize((320, 240)).rotate(10 * turned)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--parts", default=",".join(_PARTS))
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--predictions", type=int, default=100_000)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    unknown = set(given.parts.split(",")) - set(_PARTS)
    if unknown:
        parser.error(f"unknown parts {sorted(unknown)}; known are {', '.join(_PARTS)}")
    return given


if __name__ == "__main__":
    sys.exit(main())
