"""A head that answers, one that does not, and one that has fallen silent for long."""

import socket
from contextlib import closing

import pytest

from edgetl.cluster.head import Head, answers
from edgetl.cluster.workers import LostWorkers
from edgetl_runtime.errors import InputError


def test_a_head_that_falls_silent_is_given_up() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert answers(address)
        head = Head(address, "Start it again.", patience_s=0)
        head.refuse_gone()
    assert not answers(address)
    Head(address, "Start it again.", patience_s=60).refuse_gone()  # It may be a moment only.
    with pytest.raises(LostWorkers, match=rf"Ray cluster, {address}, has gone\. Start it again\.$"):
        head.refuse_gone()


@pytest.mark.parametrize("address", ["auto", "ray://head:10001/x", "head", ":6379", "head:70000"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InputError, match=r"^--ray must be local or HOST:PORT, such as 10\.0\.0\.1:6379, got"):
        answers(address)
