import json
import sys
from pathlib import Path
from threading import Lock
from time import sleep
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from tiny_bundle import tiny_bundle, tiny_variant

from edgetl_runtime import environment
from edgetl_runtime.choosing import throughput_interleaved, time_interleaved
from edgetl_runtime.engines.ort import OrtEngine
from edgetl_runtime.errors import EngineError, ProofError
from edgetl_runtime.remembered import cache_folder
from edgetl_runtime.session import Session


def two_speeds(path: Path, **changes: object) -> Path:
    """A bundle whose preferred variant is the slow one; both are the same graph."""
    fast = tiny_variant("onnxruntime", name="fast", model="fast.onnx", files=("fast.onnx",))
    path.mkdir()
    (path / "fast.onnx").write_bytes((Path(__file__).parent / "data/tiny.onnx").read_bytes())
    return tiny_bundle(path, variants=(tiny_variant("onnxruntime", name="slow"), fast), **changes)


def cache_files(what: str) -> list[Path]:
    return sorted(cache_folder().glob(f"bundles/*/{what}-*.json"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Slow down the graph of the slow variant, and note which graphs were compiled."""
    names: list[str] = []
    make, run = OrtEngine.__init__, OrtEngine.run

    def noting(self: OrtEngine, model: Path, **settings: object) -> None:
        names.append(model.name)
        make(self, model, **settings)

    def slowly(self: OrtEngine, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._model.name == "model.onnx":
            sleep(0.005)
        return run(self, images)

    monkeypatch.setattr(OrtEngine, "__init__", noting)
    monkeypatch.setattr(OrtEngine, "run", slowly)
    return names


def test_auto_takes_the_fastest_and_remembers_it(tmp_path: Path, opened: list[str]) -> None:
    folder = two_speeds(tmp_path / "bundle")
    with Session.open(folder, device="auto") as session:
        assert (session.variant.name, session.device) == ("fast", "cpu")
        assert session.choice is not None
        times = session.choice.times_ms
        assert times["slow on cpu"] > times["fast on cpu"]
        assert not session.choice.remembered
    assert opened == ["model.onnx", "fast.onnx"]
    with Session.open(folder, device="auto") as session:
        assert session.variant.name == "fast"
        assert session.choice is not None
        assert (session.choice.remembered, session.choice.times_ms) == (True, times)
        assert session.proof is not None
        assert session.proof.remembered
    assert opened[2:] == ["fast.onnx"]


def test_a_choice_is_measured_again_where_it_cannot_be_recalled(tmp_path: Path, opened: list[str]) -> None:
    folder = two_speeds(tmp_path / "bundle")
    Session.open(folder, device="auto").close()
    for changed in ({"hint": "throughput"}, {"batch": 2}, {"threads": 1}, {"cache": False}):
        opened.clear()
        Session.open(folder, device="auto", **changed).close()
        assert len(opened) == 2
    for file in cache_files("choice"):
        file.write_text("{", encoding="utf-8")
    opened.clear()
    Session.open(folder, device="auto").close()
    assert len(opened) == 2


def test_what_does_not_prove_itself_is_not_chosen_and_said(tmp_path: Path, opened: list[str]) -> None:
    folder = two_speeds(tmp_path / "bundle", logits={"fast": lambda logits: logits + 1})
    with Session.open(folder, device="auto") as session:
        assert session.variant.name == "slow"
        [skipped] = session.skipped
        assert skipped.variant == "fast on cpu"
        assert "logits off by 1" in skipped.reason


def test_a_remembered_choice_that_fails_now_is_made_anew(tmp_path: Path, opened: list[str]) -> None:
    folder = two_speeds(tmp_path / "bundle")
    Session.open(folder, device="auto").close()
    [file] = cache_files("choice")
    known = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(known | {"device": "npu"}), encoding="utf-8")
    with Session.open(folder, device="auto") as session:
        assert session.variant.name == "fast"
        assert session.choice is not None
        assert not session.choice.remembered


def test_where_nothing_proves_itself_auto_refuses_with_all_reasons(tmp_path: Path) -> None:
    lies = {name: lambda logits: logits + 1 for name in ("slow", "fast")}
    with pytest.raises(ProofError, match=r"slow on cpu: .* fast on cpu: "):
        Session.open(two_speeds(tmp_path / "bundle", logits=lies), device="auto")


def test_times_are_those_of_a_batch(tmp_path: Path, opened: list[str]) -> None:
    folder = two_speeds(tmp_path / "bundle")
    with Session.open(folder, variant="slow") as slow, Session.open(folder, variant="fast") as fast:
        times = time_interleaved([slow, fast], 1)
        three = time_interleaved([slow], 3)
    assert times[0] > 5 > times[1]
    assert three[0] > 2 * times[0]


def test_where_many_pictures_a_second_count_that_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One variant answers a picture sooner, the other one several at once: each hint has its own winner."""
    alone, run = Lock(), OrtEngine.run

    def slowly(self: OrtEngine, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._model.name == "model.onnx":  # "slow": 40 ms, and any number of them at once
            sleep(0.04)
        else:  # "fast": 12 ms, one after the other
            with alone:
                sleep(0.012)
        return run(self, images)

    monkeypatch.setattr(OrtEngine, "run", slowly)
    monkeypatch.setattr("edgetl_runtime.choosing.default_workers", lambda: 8)
    folder = two_speeds(tmp_path / "bundle")
    chosen = {}
    for hint in ("latency", "throughput"):
        with Session.open(folder, device="auto", hint=hint) as session:
            assert session.choice is not None
            chosen[hint] = (session.variant.name, session.choice.times_ms)
    assert chosen["latency"][0] == "fast"
    assert chosen["throughput"][0] == "slow"
    assert chosen["throughput"][1]["slow on cpu"] < 12 <= chosen["throughput"][1]["fast on cpu"]


def test_the_throughput_of_a_batch_counts_all_runs_in_flight(tmp_path: Path, opened: list[str]) -> None:
    folder = two_speeds(tmp_path / "bundle")
    with Session.open(folder, variant="slow") as slow, Session.open(folder, variant="fast") as fast:
        times = throughput_interleaved([slow, fast], 1)
    assert times[0] > times[1] > 0


def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)


def test_an_engine_that_is_missing_is_told_beside_what_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_openvino(monkeypatch)
    folder = tiny_bundle(tmp_path / "bundle")
    told = (
        "openvino-fp32",
        "Engine 'openvino' is not installed. Run: pip install 'edgetl-runtime[openvino]'",
    )
    for remembered in (False, True):
        with Session.open(folder, device="auto") as session:
            assert session.choice is not None
            assert (session.variant.name, session.choice.remembered) == ("onnx-fp32", remembered)
            assert session.skipped == session.choice.skipped == (told,)


def test_where_no_engine_can_be_used_auto_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_openvino(monkeypatch)
    folder = tiny_bundle(tmp_path / "bundle", variants=(tiny_variant("openvino"),))
    with pytest.raises(EngineError) as error:
        Session.open(folder, device="auto")
    assert str(error.value) == (
        "No variant of the bundle can be used here. openvino-fp32: Engine 'openvino' is not installed. "
        "Run: pip install 'edgetl-runtime[openvino]'"
    )


def test_a_choice_recalled_still_says_what_did_not_prove_itself(tmp_path: Path, opened: list[str]) -> None:
    folder = two_speeds(tmp_path / "bundle", logits={"fast": lambda logits: logits + 1})
    Session.open(folder, device="auto").close()
    with Session.open(folder, device="auto") as session:
        assert session.choice is not None
        assert session.choice.remembered
        [skipped] = session.skipped
    assert skipped.variant == "fast on cpu"
    assert "logits off by 1" in skipped.reason


def test_a_fallback_that_fails_too_keeps_the_first_reason(tmp_path: Path) -> None:
    lies = {name: lambda logits: logits + 1 for name in ("onnx-fp32", "openvino-fp32")}
    folder = tiny_bundle(tmp_path / "bundle", logits=lies)
    with pytest.raises(
        EngineError, match=r"auto on npu: .*no device 'npu' here.* auto on gpu9: .*'gpu9' here"
    ):
        Session.open(folder, device="npu", fallback="gpu9")
    with pytest.raises(ProofError, match=r"auto on npu: .*no device 'npu'.* auto on cpu: .*logits off by 1"):
        Session.open(folder, device="npu", fallback="cpu")


def test_an_explicit_device_never_falls_back_unless_one_is_named(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    with pytest.raises(EngineError, match="has no device 'npu' here"):
        Session.open(folder, device="npu")
    with Session.open(folder, device="npu", fallback="cpu") as session:
        assert session.device == "cpu"
        assert session.skipped[0].variant == "auto on npu"
        assert "has no device 'npu' here" in session.skipped[0].reason
    with pytest.raises(EngineError, match="has no device 'gpu9' here"):
        Session.open(folder, device="npu", fallback="gpu9")


def test_a_proof_is_recalled_for_the_same_device_and_settings_only(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle")

    def remembered(**settings: object) -> bool:
        with Session.open(folder, **settings) as session:
            assert session.proof is not None
            assert session.opening_ms is not None
            return session.proof.remembered

    assert [remembered(), remembered()] == [False, True]
    assert [remembered(batch=2), remembered(threads=1), remembered(hint="throughput")] == [False] * 3
    assert [remembered(cache=False), remembered(batch=2)] == [False, True]
    for file in cache_files("proof"):
        file.write_text("[[null, ", encoding="utf-8")
    assert [remembered(), remembered()] == [False, True]


def test_another_engine_or_driver_makes_what_is_remembered_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_bundle(tmp_path / "bundle", variants=(tiny_variant("onnxruntime"),))

    def remembered() -> list[bool]:
        found = []
        for _ in range(2):
            with Session.open(folder) as session:
                assert session.proof is not None
                found.append(session.proof.remembered)
        return found

    assert remembered() == [False, True]
    monkeypatch.setattr(onnxruntime, "__version__", "99.0")
    assert remembered() == [False, True]
    [cpu] = [one for one in onnxruntime.get_ep_devices() if one.ep_name == "CPUExecutionProvider"]
    newer = SimpleNamespace(
        ep_name=cpu.ep_name, ep_vendor="x", ep_metadata={"version": "99.0"}, device=cpu.device
    )
    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: [newer])
    assert remembered() == [False, True]
    monkeypatch.setattr(environment, "_versions", lambda names: {"onnxruntime-ep-openvino": "99.0"})
    assert remembered() == [False, True]
