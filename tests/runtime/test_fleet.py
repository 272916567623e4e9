import itertools
from dataclasses import replace

import numpy as np
import pytest
from receipt_factories import tiny_hashes, tiny_predictions, tiny_receipt

from edgetl_runtime.errors import InputError, ReceiptError
from edgetl_runtime.fleet import compare_fleet
from edgetl_runtime.receipt import BundleId

N = 400


def receipts(*dissents, n=N, common=()):
    """One receipt for each list of pictures on which that device gives another answer."""
    found = []
    for places in dissents:
        answers = np.zeros(n, int)
        answers[[*places, *common]] = 1
        found.append(tiny_receipt(tiny_predictions(np.zeros(n, int), answers)))
    return found


def named(fleet):
    return {device.name: device for device in fleet.devices}


def test_the_device_that_answers_differently_is_found_with_its_pictures():
    fleet = compare_fleet(receipts([], [3], list(range(10, 30)), [5]), ["a", "b", "c", "d"])
    hashes = tiny_hashes(N)
    assert (fleet.outcome, fleet.exit_code) == ("FAIL", 1)
    assert [device.name for device in fleet.devices if device.deviates] == ["c"]
    assert set(named(fleet)["c"].dissents) == {hashes[place] for place in range(10, 30)}
    assert named(fleet)["c"].agreement.value == 0.95
    assert named(fleet)["b"].dissents == (hashes[3],)


def test_devices_that_dissent_alike_pass():
    fleet = compare_fleet(receipts(range(10), range(10, 20), range(20, 30)), ["a", "b", "c"])
    assert (fleet.outcome, fleet.exit_code) == ("PASS", 0)
    assert all(device.p_value > 0.5 for device in fleet.devices)


def test_answers_that_all_share_are_no_dissent_even_if_they_are_wrong():
    fleet = compare_fleet(receipts([], [], [], common=range(100)), ["a", "b", "c"])
    assert [len(device.dissents) for device in fleet.devices] == [0, 0, 0]
    assert (fleet.devices[0].right.name, fleet.devices[0].right.value) == ("accuracy", 0.75)


def test_the_p_value_is_the_exact_share_of_ways_to_deal_out_the_dissents():
    dissents = ([0, 1, 2, 3], [4, 5], [5], [6], [])
    fleet = compare_fleet(receipts(*dissents, n=10), list("abcde"), tolerance=0)
    sizes = [1, 1, 1, 1, 1, 2, 1]  # dissenters of the pictures 0 to 6
    deals = itertools.product(*(list(itertools.combinations(range(5), size)) for size in sizes))
    counts = [sum(0 in who for who in deal) for deal in deals]
    expected = np.mean(np.array(counts) >= 4)
    assert named(fleet)["a"].p_value == pytest.approx(5 * expected)


def test_what_is_no_chance_but_within_the_tolerance_passes():
    devices = receipts([], [], range(10), n=10_000)
    names = ["a", "b", "c"]
    assert compare_fleet(devices, names).outcome == "PASS"
    assert compare_fleet(devices, names).devices[2].p_value < 0.001
    assert compare_fleet(devices, names, tolerance=0.0009).outcome == "FAIL"


def test_alike_devices_are_accused_no_oftener_than_alpha():
    rng = np.random.default_rng(0)
    accused = 0
    for _ in range(300):
        hard = rng.choice(N, 40, replace=False)
        devices = receipts(*(hard[rng.random(40) < 0.3] for _ in range(4)))
        accused += compare_fleet(devices, list("abcd"), tolerance=0).outcome == "FAIL"
    assert accused <= 0.08 * 300


def test_two_devices_cannot_tell_who_is_right():
    fleet = compare_fleet(receipts([], range(5)), ["a", "b"])
    assert (fleet.outcome, fleet.exit_code) == ("INCONCLUSIVE", 3)
    assert set(fleet.disputed) == set(tiny_hashes(5))
    assert compare_fleet(receipts([], []), ["a", "b"]).outcome == "PASS"


def test_two_devices_that_differ_within_the_tolerance_pass():
    devices = receipts([], [0], n=10_000)
    assert compare_fleet(devices, ["a", "b"]).outcome == "PASS"
    assert compare_fleet(devices, ["a", "b"], tolerance=0.0001).outcome == "PASS"
    assert compare_fleet(devices, ["a", "b"], tolerance=0).outcome == "INCONCLUSIVE"


def test_a_fleet_that_is_split_in_halves_is_undecided():
    fleet = compare_fleet(receipts([], [], range(120), range(120)), list("abcd"))
    assert (fleet.outcome, fleet.exit_code, len(fleet.disputed)) == ("INCONCLUSIVE", 3, 120)


def test_devices_that_all_differ_are_undecided():
    answers = [np.full(N, answer) for answer in range(3)]
    devices = [
        tiny_receipt(tiny_predictions(np.zeros(N, int), one, classes=3), classes=("a", "b", "c"))
        for one in answers
    ]
    fleet = compare_fleet(devices, ["a", "b", "c"])
    assert (fleet.outcome, len(fleet.disputed)) == ("INCONCLUSIVE", N)


def test_a_device_that_deviates_fails_in_a_fleet_that_is_split_elsewhere():
    fleet = compare_fleet(
        receipts(range(50), range(50), [], range(100, 200), common=[399]), ["a", "b", "c", "d"]
    )
    assert len(fleet.disputed) == 50
    assert (fleet.outcome, [one.name for one in fleet.devices if one.deviates]) == ("FAIL", ["d"])


def test_different_bundles_are_named_as_a_reason():
    first, second, third = receipts([], [], [])
    assert compare_fleet([first, second], ["a", "b"]).warning == ""
    other = replace(third, bundle=BundleId("ef" * 32, "dogs"))
    fleet = compare_fleet([first, second, other], ["a", "b", "c"])
    assert fleet.warning == (
        "The devices run different bundles, which may be why they differ: pets abababababab on a, b; "
        "dogs efefefefefef on c."
    )


def test_several_labels_are_one_answer():
    target = np.zeros((300, 2), bool)
    odd = target.copy()
    odd[:30] = True
    devices = [tiny_receipt(tiny_predictions(target, answers)) for answers in (target, target, odd)]
    fleet = compare_fleet(devices, ["a", "b", "c"])
    assert [len(device.dissents) for device in fleet.devices] == [0, 0, 30]
    assert fleet.outcome == "FAIL"
    assert fleet.devices[2].right.name == "subset_accuracy"
    assert fleet.devices[2].right.value == pytest.approx(0.9)


def test_receipts_without_figures_are_compared_too():
    devices = [replace(one, figures={}) for one in receipts([], [], range(40))]
    assert [one.right.value for one in compare_fleet(devices, list("abc")).devices] == [1, 1, 0.9]


def test_receipts_that_do_not_belong_together_are_refused():
    devices = receipts([], [], [])
    with pytest.raises(InputError, match="at least two receipts, got 1"):
        compare_fleet(devices[:1], ["a"])
    with pytest.raises(InputError, match="a name of its own, got a, a, b"):
        compare_fleet(devices, ["a", "a", "b"])
    with pytest.raises(ReceiptError, match="pictures only in the a: 1"):
        compare_fleet([*devices, *receipts([], n=N - 1)], list("abcd"))
    with pytest.raises(InputError, match="tolerance must be a share"):
        compare_fleet(devices, list("abc"), tolerance=1.0)
    with pytest.raises(InputError, match="alpha must lie"):
        compare_fleet(devices, list("abc"), alpha=0.5)
