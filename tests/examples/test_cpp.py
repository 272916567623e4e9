"""The C++ example: the same label and probability as the runtime, from the bundle's own file."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_bundle import CLASSES, write_colour

from edgetl_runtime import Session

EXAMPLE = Path(__file__).parents[2] / "examples/cpp"


@pytest.fixture
def program(tmp_path):
    utils = pytest.importorskip("openvino.utils", reason="needs openvino")
    if not (shutil.which("cmake") and shutil.which("c++")):
        pytest.skip("cmake or a C++ compiler is not installed. Run: make test-system")
    build = tmp_path / "build"
    for command in (
        ["cmake", "-S", EXAMPLE, "-B", build, f"-DOpenVINO_DIR={utils.get_cmake_path()}"],
        ["cmake", "--build", build],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return build / "classify"


@pytest.mark.system
def test_cpp_and_python_give_the_same_answers(tmp_path, bundle, program):
    (tmp_path / "labels.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    with Session.open(bundle, variant="openvino-fp32") as session:
        pixels = [
            session.preprocess(write_colour(tmp_path / f"{c}.png", c, k)) for k, c in enumerate(CLASSES)
        ]
        _, expected = session.infer(np.stack(pixels))
        models = [bundle / "openvino/model.xml", bundle / "onnx/model.onnx"]
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{number}.ppm")
    pictures = [tmp_path / f"{number}.ppm" for number in range(3)]
    for model in models:
        done = subprocess.run(
            [program, model, tmp_path / "labels.txt", *pictures], capture_output=True, text=True, check=True
        )
        rows = [line.split() for line in done.stdout.splitlines()]
        assert [label for _, label, _ in rows] == list(CLASSES)
        assert [float(share) for *_, share in rows] == pytest.approx(expected.max(axis=1).tolist(), abs=1e-4)
    done = subprocess.run(
        [program, models[0], tmp_path / "labels.txt", tmp_path / "red.png"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "must be a P6 file of 32x32" in done.stderr
