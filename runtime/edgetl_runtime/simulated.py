"""Simulated devices: what they answer counts, and how long they take says nothing about any device.

An engine that runs a simulator says so in the name of its device, which goes into proofs and receipts.
"""

_MARK = " (simulated)"

NO_TIMES = "simulated: no times"


def as_simulated(device: str) -> str:
    """Return the name of a device's simulator: "qnn (simulated)"."""
    return device + _MARK


def is_simulated(device: str) -> bool:
    """Say whether a device, or what an engine tells of it, is a simulator."""
    return device.endswith(_MARK)
