import re
from xml.etree import ElementTree

import pytest
from receipt_factories import flipped, tiny_predictions, tiny_receipt

from edgetl_runtime.ci import render_annotations, render_junit, render_markdown
from edgetl_runtime.gating import Limits, gate

HOSTILE = (
    "a|b\n# heading",
    "::error file=x::pwned%0A\r::stop-commands::y",
    "</failure><testcase/>]]>&\x00\x1b[31m\ud800",
    "<script>alert(1)</script> [x](javascript:y) ![i](http://e.vil/p.png) @all www.evil.example `$HOME` \\",
)


def hostile_verdict():
    target = [k % 4 for k in range(80)]
    after = [(k + 1) % 4 for k in target]
    receipts = [
        tiny_receipt(tiny_predictions(target, answers, classes=4), classes=HOSTILE)
        for answers in (target, after)
    ]
    return gate(*receipts, limits=Limits(class_margin=0.01))


def test_the_summary_names_the_verdict_its_rules_and_the_flips():
    text = render_markdown(gate(*flipped(lost=50, gained=5, both=945), limits=Limits(size_ratio=2)), ["worn"])
    lines = text.splitlines()
    assert lines[0] == "## ❌ edgetl check: FAIL"
    assert "FAIL: the drop of accuracy is +4.50 pp on 1,000 pictures" in text
    assert "| ✅ PASS | size | the files have 4.00 MB after 4.00 MB, a ratio of 1.00; 2 is allowed." in text
    assert "> worn" in lines
    assert len(re.findall(r"^\| [0-9a-f]{12} \| cat \| (cat|dog) \| (cat|dog) \|$", text, re.MULTILINE)) == 20
    assert "35 more are in the JSON." in lines


def test_an_undecided_summary_says_what_would_decide_and_a_clean_one_has_no_flips():
    assert "About 123,652 pictures would decide" in render_markdown(
        gate(*flipped(lost=12, gained=8, both=980))
    )
    assert "Flips" not in render_markdown(gate(*flipped(lost=0, gained=0, both=1_000)))


def test_a_hostile_name_cannot_leave_its_cell():
    text = render_markdown(hostile_verdict())
    rows = [line for line in text.splitlines() if line.startswith("| ") and "sha256" not in line]
    assert len(rows) == 3 + 2 + 20  # head and rulers, rules, flips
    assert {row.count("|") for row in rows} <= {4, 5}
    for forbidden in ("<script", "](", "![", "@all", "http://", "www.", "`", "$HOME", "\x1b", "\x00"):
        assert forbidden not in text
    assert [line for line in text.splitlines() if line.startswith("#")] == ["## ❌ edgetl check: FAIL"]
    text.encode("utf-8")


def test_junit_has_a_case_for_each_rule_and_counts_what_failed():
    verdict = gate(*flipped(lost=12, gained=8, both=980), limits=Limits(negative_flips=0.001, size_ratio=2))
    suite = ElementTree.fromstring(render_junit(verdict)).find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "2", "0")
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert cases["accuracy"].find("failure").get("type") == "INCONCLUSIVE"
    assert "About 123,652 pictures" in cases["accuracy"].find("failure").text
    assert cases["negative flips"].find("failure").get("type") == "FAIL"
    assert len(cases["size"]) == 0
    assert suite.find("system-out").text == verdict.describe()
    warned = ElementTree.fromstring(render_junit(verdict, let_through=True)).find("testsuite")
    assert (warned.get("failures"), warned.get("skipped")) == ("1", "1")


def test_hostile_names_stay_text_in_junit():
    root = ElementTree.fromstring(render_junit(hostile_verdict()).encode("utf-8"))
    assert [case.get("name") for case in root.iter("testcase")] == ["accuracy", "per class"]
    message = root.find(".//testcase[@name='per class']/failure").get("message")
    assert "</failure><testcase/>]]>& [31m" in message


@pytest.mark.parametrize("style", ["github", "gitlab", "plain"])
def test_each_rule_that_did_not_pass_is_one_line(style):
    lines = render_annotations(hostile_verdict(), style)
    assert len(lines) == 2
    for line in lines:
        assert len(line.splitlines()) == 1
        assert not re.search("[\x00-\x1f]", line.replace("\x1b[31;1m", "").replace("\x1b[0;m", ""))


def test_annotations_follow_the_rules_of_their_ci():
    verdict = gate(*flipped(lost=12, gained=8, both=980))
    (github,) = render_annotations(verdict, "github")
    assert github.startswith(
        "::error title=edgetl check%2C accuracy::INCONCLUSIVE: the drop of accuracy is +0.40 pp"
    )
    assert "(90%25 interval" in github
    (warned,) = render_annotations(verdict, "github", let_through=True)
    assert warned.startswith("::warning title=")
    (gitlab,) = render_annotations(verdict, "gitlab")
    assert gitlab.startswith("\x1b[31;1mERROR: edgetl check, accuracy: INCONCLUSIVE: ")
    assert gitlab.endswith("\x1b[0;m")
    (plain,) = render_annotations(gate(*flipped(lost=0, gained=0, both=1_000)), "plain")
    assert plain.startswith("notice: edgetl check, all rules: PASS: ")


def test_a_command_in_a_class_name_is_not_at_the_start_of_a_line():
    for line in render_annotations(hostile_verdict(), "github"):
        assert line.count("::error title=") == 1
        assert line.index("::error") == 0
        assert "%0A" not in line.replace("%250A", "")
