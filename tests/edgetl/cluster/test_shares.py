"""Who gets how many cores: two workers of two cores must not use three."""

import pytest

from edgetl.cluster.shares import Shares, share_out
from edgetl_runtime.errors import InputError


@pytest.mark.parametrize(
    ("machines", "wanted", "most", "expected"),
    [
        ([2], None, 20, Shares(2, 1)),
        ([2], 1, 20, Shares(1, 2)),
        ([8], 3, 20, Shares(3, 2)),
        ([8], None, 3, Shares(3, 2)),  # A worker without work would keep cores from the others.
        ([2], None, 0, Shares(1, 2)),
        ([4, 4], None, 20, Shares(8, 1)),
        ([1, 3], 2, 20, Shares(2, 1)),  # With two cores each, one of them had no place.
        ([0, 4], 2, 20, Shares(2, 2)),  # A head that gives no cores.
    ],
)
def test_all_workers_have_a_place_and_as_many_cores_as_can_be(
    machines: list[int], wanted: int | None, most: int, expected: Shares
) -> None:
    assert share_out(machines, wanted, most) == expected


@pytest.mark.parametrize(("machines", "wanted"), [([2], 3), ([0], None), ([], None)])
def test_more_workers_than_cores_are_refused(machines: list[int], wanted: int | None) -> None:
    with pytest.raises(InputError, match=r"^--ray-workers must be a whole number in \[1, "):
        share_out(machines, wanted, 5)
