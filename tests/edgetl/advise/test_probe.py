"""A probe: a short training, judged by pictures that it did not choose by, and stopped as any training is."""

from dataclasses import replace

import pytest
from edgetl_factories import colour_folder

from edgetl.advise.probe import probe
from edgetl.attempt import Outcome
from edgetl.dataset import Dataset, load_dataset
from edgetl.recipe import Recipe

RECIPE = Recipe(backbone="timm/test_efficientnet", weights="none", size=32, views="none")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(colour_folder(tmp_path_factory.mktemp("colours"), 8))


def test_a_probe_is_judged_by_the_verifying_pictures(dataset: Dataset) -> None:
    found = probe(dataset, replace(RECIPE, unfreeze=()), 60)
    assert found.steps == ("head",)
    assert 0 < len(found.losses) < len(dataset.val)
    assert set(found.losses) < {one.sha256 for one in dataset.val}
    assert found.accuracy in {right / len(found.losses) for right in range(len(found.losses) + 1)}


def test_ctrl_c_in_a_probe_ends_more_than_the_probe(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training keeps its best at Ctrl-C; here nobody asked for that training."""

    def interrupted(outcome: Outcome) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgetl.training.go_on", interrupted)
    with pytest.raises(KeyboardInterrupt):
        probe(dataset, replace(RECIPE, unfreeze=(2,)), 60)
