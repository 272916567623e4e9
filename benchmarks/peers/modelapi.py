"""openvino-model-api on the bundle's own int8 network: OpenCV decodes, the library resizes and runs."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import openvino
from answering import answer
from model_api.models import ClassificationModel


def main() -> None:
    """Wrap the network as the library wants it, with one output of scores, and serve."""
    bundle, picture = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    [variant] = [one for one in manifest["variants"] if one["name"] == "openvino-int8"]
    core = openvino.Core()
    graph = core.read_model(bundle / variant["model"])
    shape = graph.input("images").partial_shape
    shape[0] = 1
    graph.reshape({"images": shape})
    scores = openvino.Model([graph.output("logits")], graph.get_parameters(), "scores")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "scores.xml"
        openvino.save_model(scores, file, compress_to_fp16=False)
        model = ClassificationModel.create_model(
            str(file),
            configuration={"labels": manifest["classes"], "resize_type": "crop"},
            model_type="Classification",
            preload=True,
            device="CPU",
        )

    def predict() -> object:
        data = np.frombuffer(picture, np.uint8)
        return model(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))

    answer(predict)


if __name__ == "__main__":
    main()
