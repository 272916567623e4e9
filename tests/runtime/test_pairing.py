from dataclasses import replace

import numpy as np
import pytest
from receipt_factories import tiny_hashes, tiny_predictions, tiny_receipt

from edgetl_runtime.errors import ReceiptError
from edgetl_runtime.pairing import align, pair


def on(receipt, **changes):
    return replace(receipt, environment=replace(receipt.environment, **changes))


def test_columns_are_brought_into_the_order_of_the_hashes():
    hashes = tiny_hashes(3)
    before = tiny_predictions([0, 1, 0], [0, 0, 1], sha256=hashes, confidence=[0.1, 0.2, 0.3])
    after = tiny_predictions([0, 1, 0], [1, 1, 1], sha256=hashes, confidence=[0.4, 0.5, 0.6])
    turned = tiny_predictions([0, 1, 0], [1, 1, 1], sha256=hashes[::-1], confidence=[0.6, 0.5, 0.4])
    both, other = (pair(tiny_receipt(before), tiny_receipt(some)) for some in (after, turned))
    order = np.argsort(hashes)
    assert [value.decode() for value in both.sha256] == sorted(hashes)
    assert both.before_confidence.tolist() == np.array([0.1, 0.2, 0.3])[order].tolist()
    for field in ("target", "before", "after", "confidence", "lost", "gained"):
        assert np.array_equal(getattr(both, field), getattr(other, field))
    assert both.confidence.tolist() == np.array([0.4, 0.5, 0.6])[order].tolist()
    lost, gained, size = both.flips_by_class()
    assert (lost.tolist(), gained.tolist(), size.tolist()) == ([1, 0], [0, 1], [2, 1])


def test_another_machine_is_refused_with_all_differences_unless_it_is_asked_for():
    here = tiny_receipt(tiny_predictions([0, 1], [0, 1]))
    there = on(here, cpu="Kettle", machine="aarch64", flags=("neon", "i8mm"))
    message = (
        r"different machines: the processor 'Toaster' and 'Kettle'; the architecture 'x86_64' and 'aarch64'; "
        r"instruction sets only of the baseline: avx2; instruction sets only of the candidate: neon, i8mm\. "
        r"Validate both on the machine that counts, or ask for it with --across-machines"
    )
    with pytest.raises(ReceiptError, match=message):
        pair(here, there)
    assert pair(here, there, across_machines=True).lost.sum() == 0
    assert pair(here, on(here, os="Other", cores=64, versions={})).lost.sum() == 0


def test_the_first_three_moved_targets_are_named():
    hashes = tiny_hashes(5)
    one = tiny_receipt(tiny_predictions([0] * 5, [0] * 5, sha256=hashes))
    other = tiny_receipt(tiny_predictions([1] * 4 + [0], [0] * 5, sha256=hashes))
    shown = ", ".join(name[:12] for name in sorted(hashes[:4])[:3])
    with pytest.raises(ReceiptError, match=f"pictures with another target: 4, such as {shown}\\."):
        pair(one, other)


def test_of_many_receipts_the_one_that_does_not_fit_is_named():
    one = tiny_receipt(tiny_predictions([0, 1], [0, 1]))
    other = tiny_receipt(tiny_predictions([0], [0]))
    with pytest.raises(ReceiptError, match="pictures only in the kitchen: 1, such as"):
        align([one, one, other], ["kitchen", "hall", "attic"])
