"""Turn a trained model into a bundle: ONNX, int8, OpenVINO, each measured before it is written."""

from edgetl_exporters.export import export
from edgetl_exporters.model import ExportData, Labelled, Model, Watcher
from edgetl_exporters.report import Report, RungRow, VariantRow

__all__ = ["ExportData", "Labelled", "Model", "Report", "RungRow", "VariantRow", "Watcher", "export"]
