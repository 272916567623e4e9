"""The Makefile and what CI calls: nothing that a test needs of the system is left out without a word."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
SYSTEM = dict(one.split(":") for one in re.search(r"^SYSTEM := (.*)$", MAKEFILE, re.MULTILINE)[1].split())
# A test that needs a program of the system is in one of these.
WITH_PROGRAMS = [path for path in (ROOT / "tests").rglob("test_*.py") if "shutil.which(" in path.read_text()]


def test_ci_calls_what_the_rules_say():
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()[
        -1
    ] == "make lint type test test-device"


def test_test_system_installs_every_program_that_a_test_looks_for():
    programs = {
        name
        for path in WITH_PROGRAMS
        if path != Path(__file__)
        for name in re.findall(r'shutil\.which\("([^"]+)"\)', path.read_text(encoding="utf-8"))
    }
    assert programs == {"chromium", "chromedriver", "cmake", "c++", "psql", "espeak-ng", "flite"}
    assert programs == set(SYSTEM)


def test_a_test_without_its_program_says_which_command_installs_it():
    for path in WITH_PROGRAMS:
        if path != Path(__file__):
            assert "Run: make test-system" in path.read_text(encoding="utf-8"), path.name


def test_every_target_says_what_it_is_for():
    targets = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())
    assert set(re.findall(r"^([a-z-]+):.*  ## .+$", MAKEFILE, re.MULTILINE)) == targets
