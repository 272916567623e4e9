import subprocess
import sys

import pytest


def ended(main: str) -> subprocess.CompletedProcess[str]:
    code = f"import atexit\nimport edgetl.__main__ as process\n{main}\nprocess.main = main\nprocess.run()"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("argument", "code"), [("--version", 0), ("no-command", 2)])
def test_the_process_ends_with_the_exit_code_of_its_command(argument: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-m", "edgetl", argument], capture_output=True, check=False)
    assert done.returncode == code


def test_what_a_command_registered_for_the_end_is_done_and_the_output_is_written() -> None:
    done = ended(
        "def main():\n    atexit.register(print, ', registered')\n    print('told', end='')\n    return 3"
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "told, registered\n", "")


def test_an_error_keeps_its_traceback_and_the_exit_code_that_python_gives_it() -> None:
    done = ended("def main():\n    raise RuntimeError('a mistake of ours')")
    assert done.returncode == 1
    assert done.stderr.endswith("RuntimeError: a mistake of ours\n")
