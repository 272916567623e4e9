import pytest
from tiny_bundle import tiny_bundle, tiny_manifest, tiny_variant

from edgetl_runtime import session as session_module
from edgetl_runtime.cautions import Caution, of_device, of_processor
from edgetl_runtime.cli import main
from edgetl_runtime.environment import Environment
from edgetl_runtime.session import Session

FOR_VNNI = {"export": {"weights_for": "vnni"}}
INT8 = tiny_variant("onnxruntime", name="onnx-int8", precision="int8")


def machine(*flags, kind="x86_64"):
    return Environment("Toaster", flags, 2, "Linux", kind, "CPython 3.11")


def test_measurements_on_devices_that_were_never_tried_say_so():
    assert of_device("cpu") == ()
    assert of_device("npu.3720")[0].startswith("not yet run on hardware")
    assert of_device("npu,cpu") == of_device("npu")


def test_eight_bits_on_a_processor_that_saturates_are_cautioned_of():
    (caution,) = of_processor(tiny_manifest(provenance=FOR_VNNI), INT8, "cpu", machine("avx2"))
    assert caution.startswith("variant 'onnx-int8' has 8-bit weights for processors with VNNI, which this")


@pytest.mark.parametrize(
    ("provenance", "variant", "device", "environment"),
    [
        (FOR_VNNI, INT8, "cpu", machine("avx2", "avx512_vnni")),
        (FOR_VNNI, INT8, "cpu", machine("avx_vnni")),
        (FOR_VNNI, INT8, "cpu", machine("asimddp", kind="aarch64")),
        (FOR_VNNI, INT8, "cpu", machine()),
        (FOR_VNNI, INT8, "npu", machine("avx2")),
        (FOR_VNNI, tiny_variant("onnxruntime"), "cpu", machine("avx2")),
        ({"export": {"weights_for": "any"}}, INT8, "cpu", machine("avx2")),
        ({"export": "vnni"}, INT8, "cpu", machine("avx2")),
        ({}, INT8, "cpu", machine("avx2")),
    ],
)
def test_where_sums_are_exact_or_nothing_is_known_nothing_is_said(provenance, variant, device, environment):
    assert of_processor(tiny_manifest(provenance=provenance), variant, device, environment) == ()


def test_a_session_warns_and_a_command_tells(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(session_module, "read_environment", lambda: machine("avx2"))
    bundle = tiny_bundle(tmp_path / "bundle", variants=(INT8,), provenance=FOR_VNNI)
    with pytest.warns(Caution, match="'onnx-int8' has 8-bit weights"):
        session = Session.open(bundle)
    assert session.cautions[0].endswith("or export with --cpu any")
    session.close()
    picture = next((bundle / "cases").iterdir())
    assert main(["predict", str(bundle), str(picture)]) == 0
    assert "note: variant 'onnx-int8' has 8-bit weights for processors with VNNI" in capsys.readouterr().err
