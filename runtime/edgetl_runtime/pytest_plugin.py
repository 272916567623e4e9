"""The pytest plugin: open a bundle and validate it once per session, and fail a test with the gate's verdict.

Installed with `edgetl-runtime`, switched off with `-p no:edgetl`. The only module that imports pytest; what
it needs of edgetl is imported when a test asks for it, so that it costs other test suites nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from edgetl_runtime.bundle import Bundle
    from edgetl_runtime.receipt import Receipt
    from edgetl_runtime.rules import Limits

__all__ = ["assert_no_regression"]

_OPTIONS = {
    "bundle": "bundle that the fixtures open: a folder or a zip",
    "data": "labelled pictures that edgetl_receipt validates on: folder of class folders, CSV file or tars",
    "variant": "variant that is validated; default: the first whose engine is installed",
    "device": "device that it runs on; default: cpu",
    "split": "split of the pictures: train, val, test or all; default: test",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add each option to the command line, and under the same name to the ini file."""
    group = parser.getgroup("edgetl", "bundles of edgetl")
    for name, meaning in _OPTIONS.items():
        group.addoption(f"--edgetl-{name}", metavar=name.upper(), help=meaning)
        parser.addini(f"edgetl_{name}", meaning)


@pytest.fixture(scope="session")
def edgetl_bundle(pytestconfig: pytest.Config) -> Iterator[Bundle]:
    """Open the bundle, every file of it checked."""
    from edgetl_runtime.bundle import Bundle

    with Bundle.open(_path(pytestconfig, "bundle")) as bundle:
        yield bundle


@pytest.fixture(scope="session")
def edgetl_receipt(pytestconfig: pytest.Config) -> Receipt:
    """Validate the bundle on the labelled pictures."""
    from edgetl_runtime.commands import Where, run_validate

    return run_validate(
        _path(pytestconfig, "bundle"),
        _path(pytestconfig, "data"),
        where=Where(_option(pytestconfig, "variant") or "auto", _option(pytestconfig, "device") or "cpu"),
        split=_option(pytestconfig, "split") or "test",
    )


def assert_no_regression(
    candidate: Receipt | Path | str,
    baseline: Receipt | Path | str,
    margin: str | float = "0.5pp",
    *,
    alpha: float = 0.05,
    limits: Limits | None = None,
    on_inconclusive: Literal["fail", "warn"] = "fail",
    ledger: Path | str | None = None,
) -> None:
    """Fail the test with the verdict unless the gate passes the candidate.

    Args:
        candidate: What is judged: a receipt, or the path of one.
        baseline: What it must not be worse than.
        margin: The drop that is allowed, such as "0.5pp", or a ratio.
        alpha: The chance to pass a candidate whose true drop is the margin.
        limits: What else is asked.
        on_inconclusive: Whether too few pictures fail the test or warn.
        ledger: The file that the decision is appended to; it warns when the test set wears out. None takes
            $EDGETL_LEDGER, and where that is not set keeps no ledger.
    """
    __tracebackhide__ = True
    from edgetl_runtime.commands import run_check
    from edgetl_runtime.ledger import named_ledger
    from edgetl_runtime.percent import parse_points
    from edgetl_runtime.presentation import render_verdict

    checked = run_check(
        _receipt(baseline),
        _receipt(candidate),
        margin=parse_points(margin) if isinstance(margin, str) else margin,
        alpha=alpha,
        limits=limits,
        ledger=named_ledger(None if ledger is None else Path(ledger)),
    )
    verdict = checked.verdict
    if checked.wear is not None and checked.wear.worn:
        warnings.warn(checked.wear.describe(), stacklevel=2)
    if verdict.outcome == "INCONCLUSIVE" and on_inconclusive == "warn":
        warnings.warn(verdict.describe(), stacklevel=2)
    elif verdict.outcome != "PASS":
        pytest.fail(render_verdict(verdict), pytrace=False)


def _receipt(given: Receipt | Path | str) -> Receipt | Path:
    return Path(given) if isinstance(given, str) else given


def _option(config: pytest.Config, name: str) -> str | None:
    """Return an option of the command line, else of the ini file, else None."""
    value: str | None = config.getoption(f"edgetl_{name}")
    return value or str(config.getini(f"edgetl_{name}") or "") or None


def _path(config: pytest.Config, name: str) -> Path:
    """Return a path that must be given; a relative one of the ini file starts at the folder of that file."""
    value = _option(config, name)
    if value is None:
        pytest.fail(
            f"No {name} was given. Run pytest with --edgetl-{name}, or set edgetl_{name} in its ini file.",
            pytrace=False,
        )
    on_line = config.getoption(f"edgetl_{name}")
    start = config.invocation_params.dir if on_line else config.rootpath
    return start / value
