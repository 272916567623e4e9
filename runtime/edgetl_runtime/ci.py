"""A verdict for the machines around a build: Markdown, JUnit XML and one-line annotations.

Names of classes come from files of others. Each form escapes them in its own way, so that none can forge a
heading, a tag, a second line or a command of the CI.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args
from xml.etree import ElementTree

from edgetl_runtime.verdict import Flip, Outcome, Rule, Verdict

__all__ = ["AnnotationStyle", "render_annotations", "render_junit", "render_markdown"]

AnnotationStyle = Literal["github", "gitlab", "plain"]

MAX_FLIPS = 20
_MARK: dict[Outcome, str] = {"PASS": "✅", "INCONCLUSIVE": "⚠️", "FAIL": "❌"}
_MARKDOWN = re.compile(r"[&<>|`*_\[\]#!~@\\$]|(?<=www)\.|:(?=//)", re.IGNORECASE)
# What neither a line of a log nor XML 1.0 may hold; lone surrogates have no UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
_GITLAB = {"error": "\x1b[31;1m", "warning": "\x1b[33;1m", "notice": "\x1b[32;1m"}


def render_markdown(verdict: Verdict, notes: Sequence[str] = ()) -> str:
    """Return a summary for a job or a merge request: the verdict, its rules, and the first flips."""
    rules = [
        f"| {_MARK[rule.outcome]} {rule.outcome} | {rule.name} | {_said(rule)} |" for rule in verdict.rules
    ]
    steps = [_markdown(step) for rule in verdict.rules for step in rule.next_steps]
    parts = [
        f"## {_MARK[verdict.outcome]} edgetl check: {verdict.outcome}",
        _markdown(f"{verdict.finding()} {verdict.reason()}"),
        "\n".join(["| outcome | rule | what was found |", "| --- | --- | --- |", *rules]),
        " ".join(steps),
        *(f"> {_markdown(note)}" for note in notes),
        _markdown_flips(verdict.flips),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_junit(verdict: Verdict, *, let_through: bool = False) -> str:
    """Return JUnit XML with a test case for each rule.

    Args:
        let_through: An INCONCLUSIVE rule counts as skipped, not as failed.
    """
    cases = [_case(rule, let_through) for rule in verdict.rules]
    counts = {tag: str(sum(case.find(tag) is not None for case in cases)) for tag in ("failure", "skipped")}
    suite = ElementTree.Element(
        "testsuite",
        name="edgetl check",
        tests=str(len(cases)),
        failures=counts["failure"],
        skipped=counts["skipped"],
        errors="0",
    )
    suite.extend(cases)
    ElementTree.SubElement(suite, "system-out").text = _printable(verdict.describe())
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def render_annotations(verdict: Verdict, style: AnnotationStyle, *, let_through: bool = False) -> list[str]:
    """Return a line for each rule that did not pass, or one that says that all did."""
    bad = [rule for rule in verdict.rules if rule.outcome != "PASS"]
    if not bad:
        return [_annotation("notice", "all rules", verdict.finding(), style)]
    return [
        _annotation(
            _level(rule, let_through), rule.name, f"{rule.outcome}: {rule.sentence} {rule.reason}", style
        )
        for rule in bad
    ]


def _level(rule: Rule, let_through: bool) -> str:
    return "warning" if rule.outcome == "INCONCLUSIVE" and let_through else "error"


def _annotation(level: str, rule: str, message: str, style: AnnotationStyle) -> str:
    title, message = f"edgetl check, {rule}", _printable(message).strip()
    if style == "github":  # docs.github.com, "Workflow commands": data and properties are escaped differently
        data = message.replace("%", "%25")
        return f"::{level} title={title.replace('%', '%25').replace(':', '%3A').replace(',', '%2C')}::{data}"
    if style == "gitlab":  # GitLab has no such command, but its job log shows colours
        return f"{_GITLAB[level]}{level.upper()}: {title}: {message}\x1b[0;m"
    if style == "plain":
        return f"{level}: {title}: {message}"
    raise ValueError(f"style must be one of {get_args(AnnotationStyle)}, got {style!r}")


def _case(rule: Rule, let_through: bool) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname="edgetl.check", name=rule.name)
    if rule.outcome != "PASS":
        tag = "skipped" if _level(rule, let_through) == "warning" else "failure"
        told = ElementTree.SubElement(case, tag, message=_printable(f"{rule.outcome}: {rule.sentence}"))
        told.text = _printable(" ".join((rule.reason, *rule.next_steps)))
        if tag == "failure":
            told.set("type", rule.outcome)
    return case


def _said(rule: Rule) -> str:
    return _markdown(f"{rule.sentence} {rule.reason}".strip())


def _markdown_flips(flips: Sequence[Flip]) -> str:
    if not flips:
        return ""
    rows = [
        f"| {flip.sha256[:12]} | {_cell(flip.target)} | {_cell(flip.before)} | {_cell(flip.after)} |"
        for flip in flips[:MAX_FLIPS]
    ]
    more = [f"\n{len(flips) - MAX_FLIPS:,} more are in the JSON."] if len(flips) > MAX_FLIPS else []
    head = ["<details><summary>Flips</summary>\n", "| sha256 | target | baseline | candidate |"]
    return "\n".join([*head, "| --- | --- | --- | --- |", *rows, *more, "\n</details>"])


def _cell(text: str) -> str:
    return _markdown(text) or "–"


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(lambda found: f"&#{ord(found.group())};", _printable(text))


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(" ", text)
