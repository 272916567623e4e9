"""openvino-model-api on the bundle's own int8 network: OpenCV decodes, the library resizes and runs."""

import json
from collections.abc import Callable
from pathlib import Path

import answering
import cv2
import numpy as np
from model_api.models import ClassificationModel


def prepare(bundle: Path, folder: Path) -> None:
    """Wrap the network as the library wants it, with one output of scores."""
    import openvino

    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    [variant] = [one for one in manifest["variants"] if one["name"] == "openvino-int8"]
    graph = openvino.Core().read_model(bundle / variant["model"])
    shape = graph.input("images").partial_shape
    shape[0] = 1
    graph.reshape({"images": shape})
    scores = openvino.Model([graph.output("logits")], graph.get_parameters(), "scores")
    openvino.save_model(scores, folder / "scores.xml", compress_to_fp16=False)
    (folder / "classes.json").write_text(json.dumps(manifest["classes"]), encoding="utf-8")


def load(folder: Path, picture: Path) -> Callable[[], object]:
    """Open it; each prediction decodes the picture from memory."""
    labels = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    model = ClassificationModel.create_model(
        str(folder / "scores.xml"),
        configuration={"labels": labels, "resize_type": "crop"},
        model_type="Classification",
        preload=True,
        device="CPU",
    )
    encoded = picture.read_bytes()

    def predict() -> object:
        data = np.frombuffer(encoded, np.uint8)
        return model(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))

    return predict


if __name__ == "__main__":
    answering.main(prepare, load)
