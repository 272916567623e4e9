"""The plugin in pytest runs of their own."""

import sys

import pytest
from receipt_factories import flipped
from tiny_bundle import CLASSES, tiny_bundle, write_colour

from edgetl_runtime.ledger import read_ledger

pytest_plugins = ["pytester"]

USES_FIXTURES = """
def test_bundle(edgetl_bundle):
    assert edgetl_bundle.manifest.name == "colours"

def test_receipt(edgetl_receipt):
    assert edgetl_receipt.figures["accuracy"].value == 1.0

def test_receipt_again(edgetl_receipt, request):
    assert request.config.stash.setdefault("seen", edgetl_receipt) is edgetl_receipt
"""


@pytest.fixture(autouse=True)
def no_ledger(monkeypatch):
    monkeypatch.delenv("EDGETL_LEDGER", raising=False)


@pytest.fixture
def job(tmp_path):
    tiny_bundle(tmp_path / "job" / "bundle")
    for seed, colour in enumerate(CLASSES):
        write_colour(tmp_path / "job" / "data" / colour / "one.png", colour, seed)
    return tmp_path / "job"


@pytest.fixture
def receipts(pytester):
    def write(**counts):
        for name, receipt in zip(("before", "after"), flipped(**counts), strict=True):
            receipt.write(pytester.path / f"{name}.json")

    return write


def compare(pytester, arguments=""):
    pytester.makepyfile(
        "from edgetl_runtime.pytest_plugin import assert_no_regression\n"
        f"def test_model(): assert_no_regression('after.json', 'before.json'{arguments})"
    )
    return pytester.runpytest_subprocess("-p", "no:cacheprovider")


def test_the_fixtures_open_and_validate_the_bundle_of_the_command_line(pytester, job):
    pytester.makepyfile(USES_FIXTURES)
    options = ["--edgetl-bundle", job / "bundle", "--edgetl-data", job / "data", "--edgetl-variant=onnx-fp32"]
    pytester.runpytest_subprocess(*options).assert_outcomes(passed=3)


def test_the_fixtures_take_the_ini_file_s_options_too(pytester, job):
    pytester.makepyfile(USES_FIXTURES)
    lines = (f"edgetl_bundle = {job / 'bundle'}", f"edgetl_data = {job / 'data'}", "edgetl_split = test")
    pytester.makeini("\n".join(["[pytest]", *lines]))
    pytester.runpytest_subprocess().assert_outcomes(passed=3)


def test_a_missing_option_is_an_error_that_names_it(pytester):
    pytester.makepyfile(USES_FIXTURES)
    done = pytester.runpytest_subprocess()
    done.assert_outcomes(errors=3)
    done.stdout.fnmatch_lines(
        ["No bundle was given. Run pytest with --edgetl-bundle, or set edgetl_bundle in*"]
    )


def test_a_regression_fails_with_the_verdict_and_without_a_traceback(pytester, receipts):
    receipts(lost=50, gained=5, both=945)
    done = compare(pytester)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["FAIL: the drop of accuracy is +4.50 pp on 1,000 pictures*", "Flips:"])
    done.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_a_candidate_that_passes_passes_and_the_margin_counts(pytester, receipts):
    receipts(lost=12, gained=8, both=980)
    compare(pytester, ", margin='1.27pp'").assert_outcomes(passed=1)
    compare(pytester, ", margin=0.0127").assert_outcomes(passed=1)
    compare(pytester).assert_outcomes(failed=1)


def test_too_few_pictures_can_warn(pytester, receipts):
    receipts(lost=12, gained=8, both=980)
    done = compare(pytester, ", on_inconclusive='warn'")
    done.assert_outcomes(passed=1, warnings=1)
    done.stdout.fnmatch_lines(["*INCONCLUSIVE: the drop of accuracy is +0.40 pp*"])


def test_alpha_decides_how_sure_it_must_be(pytester, receipts):
    receipts(lost=12, gained=8, both=980)
    compare(pytester, ", margin='0.9pp'").assert_outcomes(failed=1)
    compare(pytester, ", margin='0.9pp', alpha=0.2").assert_outcomes(passed=1)


def test_every_decision_is_written_into_the_ledger_and_a_worn_test_set_warns(pytester, receipts, monkeypatch):
    receipts(lost=1, gained=1, both=998)
    compare(pytester, ", margin='2pp', ledger='kept.jsonl'").assert_outcomes(passed=1)
    compare(pytester, ", margin='2pp'").assert_outcomes(passed=1)
    assert len(read_ledger(pytester.path / "kept.jsonl").decisions) == 1
    monkeypatch.setenv("EDGETL_LEDGER", "kept.jsonl")
    done = compare(pytester, ", margin='3pp', alpha=0.45")
    done.assert_outcomes(passed=1, warnings=1)
    done.stdout.fnmatch_lines(["*these 1,000 test pictures have decided on 2 different candidates*"])
    assert [one.margin for one in read_ledger(pytester.path / "kept.jsonl").decisions] == [0.02, 0.03]


def test_a_fail_is_written_into_the_ledger_too(pytester, receipts):
    receipts(lost=50, gained=5, both=945)
    compare(pytester, ", ledger='kept.jsonl'").assert_outcomes(failed=1)
    assert [one.outcome for one in read_ledger(pytester.path / "kept.jsonl").decisions] == ["FAIL"]


def test_without_the_plugin_its_fixtures_are_gone_and_nothing_else(pytester):
    pytester.makepyfile("def test_plain(): pass\ndef test_bundle(edgetl_bundle): pass")
    pytester.runpytest_subprocess("-p", "no:edgetl").assert_outcomes(passed=1, errors=1)


def test_it_loads_neither_numpy_nor_an_engine_before_it_is_used(pytester):
    pytester.makepyfile(
        "import sys\n"
        "HEAVY = {'numpy', 'PIL', 'onnxruntime', 'openvino', 'torch'}\n"
        "def test_light(): assert not HEAVY & set(sys.modules)\n"
        "def test_loaded(): assert 'edgetl_runtime.pytest_plugin' in sys.modules"
    )
    pytester.runpytest_subprocess("-p", "no:hypothesispytest").assert_outcomes(passed=2)


def test_the_plugin_is_registered_under_its_name():
    from importlib.metadata import entry_points

    (point,) = entry_points(group="pytest11", name="edgetl")
    assert point.value == "edgetl_runtime.pytest_plugin"
    assert sys.modules["edgetl_runtime.pytest_plugin"] is point.load()
