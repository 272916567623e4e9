import numpy as np
import pytest
from receipt_factories import tiny_predictions, tiny_receipt
from tiny_bundle import CLASSES, tiny_bundle, write_colour
from virtual_machine import VirtualMachine

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.journal import Journal
from edgetl_runtime.measuring import measure
from edgetl_runtime.pictures import index
from edgetl_runtime.session import Session
from edgetl_runtime.slowdown import slowdown


class SpendingEngine:
    """Takes its time of a virtual machine."""

    executed_device = "cpu"
    version = "0"
    driver = ""

    def __init__(self, machine, seconds):
        self._machine, self._seconds = machine, seconds

    def run(self, images):
        self._machine.spend(self._seconds)
        shares = np.full((1, len(CLASSES)), 1 / len(CLASSES), np.float32)
        return shares, shares


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    for number in range(120):
        colour = CLASSES[number % len(CLASSES)]
        write_colour(root / colour / f"{number}.png", colour, seed=number)
    return index(root, check=False).pictures


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    with Bundle.open(tiny_bundle(tmp_path_factory.mktemp("bundle") / "b")) as opened:
        yield opened


def receipt_of(bundle, pictures, machine, milliseconds):
    session = Session(bundle, bundle.manifest.variants[0], SpendingEngine(machine, milliseconds / 1000))
    session.threads = 1
    found = measure(session, pictures, Journal(None, {}, resume=False), lambda *_: None, machine.timing)
    return tiny_receipt(tiny_predictions([0], [0]), performance=found.performance)


def test_times_are_told_block_by_block_beside_the_workload(bundle, pictures):
    machine = VirtualMachine(jitter=0)
    found = receipt_of(bundle, pictures, machine, 8).performance
    assert (len(found.blocks), found.threads) == (40, 1)
    assert {(block.picture_ms, block.reference_ms) for block in found.blocks} == {(8.0, 2.0)}
    assert found.throughput_per_s == pytest.approx(125)


def test_a_slower_engine_shows_under_load_and_the_load_does_not(bundle, pictures):
    calm = receipt_of(bundle, pictures, VirtualMachine(1), 8)
    same = slowdown(calm, receipt_of(bundle, pictures, VirtualMachine(2, busy=0.4), 8), 0.9)
    slower = slowdown(calm, receipt_of(bundle, pictures, VirtualMachine(3, busy=0.4), 12), 0.9)
    assert same.interval.low < 1 < same.interval.high < 1.2
    assert 1.2 < slower.interval.low < 1.5 < slower.interval.high
