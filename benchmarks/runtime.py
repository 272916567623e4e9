"""The runtime beside the bare limit and its peers: from a JPEG of 1280 × 1920 to the label, and for long.

    python -m benchmarks.runtime demo/bundle [--parts end_to_end,stream,cold,memory,threads] [--rounds N]
                                             [--predictions N] [--picture FILE] [--out FILE]

Prints what each part measured, and all of it beside its targets. Peers run in environments of their own, made
by benchmarks/peers/make.sh; one that is not there is left out and said. `benchmarks.install` says what the
runtime weighs.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import machine, peers
from benchmarks.targets import Row, table
from edgetl_runtime import Session
from edgetl_runtime.benching import sample_picture

_VARIANT = "openvino-int8"
_ORT_VARIANT = "onnx-int8"
_SETTLED = 1_000
_THREADS = 32
_STREAMED = 64
_OURS, _LIMIT = "ours: Session.predict", "limit: bare decode, then bare int8"
_TORCHVISION = "torchvision + ONNX Runtime int8"
_ROUNDS, _PREDICTIONS = 200, 100_000
# How many times faster than each of them one picture must be.
_FASTER = {_TORCHVISION: 3.5, peers.MODEL_API: 2.8, peers.ULTRALYTICS: 2.5}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured on, and how often."""

    bundle: Path
    picture: bytes
    rounds: int = _ROUNDS
    predictions: int = _PREDICTIONS


@dataclass(frozen=True, slots=True)
class Part:
    """What a part of the benchmark found: figures of any form, and those that have a target."""

    figures: Mapping[str, Any]
    rows: tuple[Row, ...]


def measure(bundle: Path) -> dict[str, Any]:
    """Run all parts, for `benchmarks.run`: a quarter of an hour on two cores."""
    parts = run(Plan(bundle, sample_picture()), list(PARTS))
    return {name: part.figures | {"targets": _facts(part)} for name, part in parts.items()}


def run(plan: Plan, names: list[str]) -> dict[str, Part]:
    """Run parts and print what they found."""
    parts = {}
    for name in names:
        parts[name] = PARTS[name](plan)
        print(f"\n{name}\n{json.dumps(parts[name].figures, indent=2)}", flush=True)
    print("\n" + table(row for part in parts.values() for row in part.rows), flush=True)
    return parts


def end_to_end(plan: Plan) -> Part:
    """Time one picture, each way once a round: the limit, ours, torchvision and the peers."""
    with (
        Session.open(plan.bundle, variant=_VARIANT) as session,
        peers.running(plan.bundle, plan.picture) as found,
    ):
        pixels = session.preprocess(plan.picture)[np.newaxis]
        decode, infer = _bare_decode(session, plan.picture), _bare_infer(session, pixels)
        ways: dict[str, Callable[[], object]] = {
            "bare decode": decode,
            "bare int8": infer,
            _LIMIT: lambda: (decode(), infer()),
            _OURS: lambda: session.predict(plan.picture),
            _TORCHVISION: _torchvision(plan.bundle, plan.picture),
        }
        times = machine.interleaved_ms(ways | found.ways, plan.rounds)
    times |= found.inside_ms(plan.rounds)
    faster = {name: machine.ratio(times, name, _OURS) if name in times else None for name in _FASTER}
    over = machine.ratio(times, _OURS, _LIMIT)
    rows = [Row(f"times faster than {name}", faster[name], _FASTER[name], at_least=True) for name in _FASTER]
    figures = {"p50_ms": machine.medians(times), "left out": found.missing}
    return Part(figures, (Row("one picture, over the bare limit", over, 1.15), *rows))


def stream(plan: Plan) -> Part:
    """Compare pictures per second: `predict` in a loop, and `stream` with either hint."""
    with (
        Session.open(plan.bundle, variant=_VARIANT) as session,
        Session.open(plan.bundle, variant=_VARIANT, hint="throughput") as throughput,
    ):
        pictures = [plan.picture] * _STREAMED
        ways: dict[str, Callable[[], object]] = {
            "predict in a loop": lambda: [session.predict(one) for one in pictures],
            "stream": lambda: list(session.stream(pictures)),
            "stream, opened for throughput": lambda: list(throughput.stream(pictures)),
        }
        times = machine.interleaved_ms(ways, max(3, plan.rounds // 10), warm_up=1)
    loop = "predict in a loop"
    rates = {name: round(1000 * _STREAMED / median(taken), 1) for name, taken in times.items()}
    ratios = {name: machine.ratio(times, loop, name) for name in times if name != loop}
    cores = len(os.sched_getaffinity(0))
    best = Row(f"stream over predict in a loop, {cores} cores", max(ratios.values()), 1.5, at_least=True)
    return Part({"pictures_per_s": rates, "over the loop": ratios}, (best,))


def cold(plan: Plan) -> Part:
    """Time fresh processes: import, open and first answer, without and with the cache; and the peers'."""
    rows: dict[str, list[dict[str, float]]] = {"cold": [], "cached": []}
    with TemporaryDirectory() as folder, peers.prepared(plan.bundle, plan.picture) as found:
        file = Path(folder) / "picture.jpg"
        file.write_bytes(plan.picture)
        others: dict[str, list[float]] = {name: [] for name in found.ready}
        for number in range(max(3, plan.rounds // 20)):
            cache = {"EDGETL_CACHE": str(Path(folder) / f"cache{number}")}
            for taken in rows.values():  # "cold" first: it fills the cache of this round.
                taken.append(_fresh(plan.bundle, file, cache))
            for name, taken in others.items():
                taken.append(found.first_answer_ms(name))
    ours = {
        name: {key: round(median(row[key] for row in taken), 1) for key in taken[0]}
        for name, taken in rows.items()
    }
    theirs = {name: round(median(taken), 1) for name, taken in others.items()}
    figures = {
        **ours,
        "start of the process to its first answer, peers, ms": theirs,
        "left out": found.missing,
    }
    return Part(
        figures,
        (
            Row("import over numpy", ours["cached"]["import_ms"], 25, "ms"),
            Row("open and first answer, cold", ours["cold"]["open_and_answer_ms"], 600, "ms"),
            Row("open and first answer, cached", ours["cached"]["open_and_answer_ms"], 300, "ms"),
        ),
    )


def memory(plan: Plan) -> Part:
    """Predict for long in a fresh process, and tell what it holds after the first thousand and at the end.

    In this process what other parts have let go of would be used again and hide what grows.
    """
    first = min(_SETTLED, plan.predictions // 2)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "picture.jpg"
        file.write_bytes(_small(plan.picture))
        command = [sys.executable, "-c", _LONG, str(plan.bundle), _VARIANT, str(file)]
        command += [str(first), str(plan.predictions)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    before, after = json.loads(done.stdout)
    grown = round((after["resident_bytes"] - before["resident_bytes"]) / 1e6, 2)
    left = after["files"] - before["files"] + after["threads"] - before["threads"]
    return Part(
        {f"after {count:,}": held for count, held in ((first, before), (plan.predictions, after))},
        (
            Row(f"memory grown by {plan.predictions:,} predictions", grown, 2, "MB"),
            Row("files and threads left open", left, 0),
        ),
    )


def threads(plan: Plan) -> Part:
    """Predict from 32 threads; every answer is held against the one that a single thread got."""
    scenes = [_small(plan.picture, number) for number in range(16)]
    rows = []
    for hint in ("latency", "throughput"):
        with Session.open(plan.bundle, variant=_VARIANT, hint=hint) as session:
            expected = [session.predict(scene).logits for scene in scenes]

            def wrong(number: int, session: Session = session, expected: Any = expected) -> bool:
                answer = session.predict(scenes[number % 16])
                return not np.allclose(answer.logits, expected[number % 16], atol=1e-4)

            with ThreadPoolExecutor(_THREADS) as pool:
                count = sum(pool.map(wrong, range(plan.predictions), chunksize=100))
        rows.append(Row(f"wrong of {plan.predictions:,} from {_THREADS} threads, {hint}", count, 0))
    different = len({tuple(np.round(logits, 4)) for logits in expected})
    return Part({"predictions": plan.predictions, "different pictures": different}, tuple(rows))


PARTS: dict[str, Callable[[Plan], Part]] = {
    "end_to_end": end_to_end,
    "stream": stream,
    "cold": cold,
    "memory": memory,
    "threads": threads,
}

_COLD = """
import json, sys, time
begun = time.perf_counter()
import numpy
counted = time.perf_counter()
import edgetl_runtime
imported = time.perf_counter()
edgetl_runtime.Session
named = time.perf_counter()
session = edgetl_runtime.Session.open(sys.argv[1], variant=sys.argv[2])
opened = time.perf_counter()
session.predict(sys.argv[3])
answered = time.perf_counter()
print(json.dumps({
    "numpy_ms": 1000 * (counted - begun), "import_ms": 1000 * (imported - counted),
    "name_session_ms": 1000 * (named - imported), "open_ms": 1000 * (opened - named),
    "first_answer_ms": 1000 * (answered - opened),
    "open_and_answer_ms": 1000 * (answered - imported),
}), flush=True)
"""

_LONG = """
import json, os, sys
from pathlib import Path
import edgetl_runtime
bundle, variant, picture, first, last = *sys.argv[1:4], *map(int, sys.argv[4:])
encoded, readings = Path(picture).read_bytes(), []
with edgetl_runtime.Session.open(bundle, variant=variant) as session:
    for number in range(1, last + 1):
        session.predict(encoded)
        if number in (first, last):
            pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
            held = {name: len(os.listdir(f"/proc/self/{place}")) for name, place in
                    (("files", "fd"), ("threads", "task"))}
            readings.append({"resident_bytes": pages * os.sysconf("SC_PAGE_SIZE"), **held})
print(json.dumps(readings))
"""


def _fresh(bundle: Path, picture: Path, environment: Mapping[str, str]) -> dict[str, float]:
    """Answer once in a fresh process; the times by its own clock, and from its start by ours."""
    command = [sys.executable, "-c", _COLD, str(bundle), _VARIANT, str(picture)]
    pipe = subprocess.PIPE
    begun = time.perf_counter()
    with subprocess.Popen(command, env=os.environ | environment, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        told: dict[str, float] = json.loads(process.stdout.readline())
        return told | {"start_to_answer_ms": 1000 * (time.perf_counter() - begun)}


def _facts(part: Part) -> list[dict[str, Any]]:
    return [row.facts() for row in part.rows]


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


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument("--predictions", type=int, default=_PREDICTIONS)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    names = given.parts.split(",")
    if unknown := sorted(set(names) - set(PARTS)):
        parser.error(f"unknown parts {unknown}; known are {', '.join(PARTS)}")
    picture = sample_picture() if given.picture is None else given.picture.read_bytes()
    parts = run(Plan(given.bundle, picture, given.rounds, given.predictions), names)
    if given.out is not None:
        found = {name: part.figures | {"targets": _facts(part)} for name, part in parts.items()}
        results = {"machine": machine.facts(), "picture_bytes": len(picture), **found}
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
