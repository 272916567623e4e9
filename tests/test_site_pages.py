"""The pages of the site are run: every command and snippet, in the order of the page, in a reader's folder.

Trainings are made short by stand-ins on the PATH that add flags to what the page says. `make` is only asked
whether it has the target; it made the environment that the tests run in.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_bundle import tiny_bundle

from edgetl.cli import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CLASSES = {"ok": 0, "scratched": 2}  # the channel in which the pictures of a class are bright
BIN = Path(sys.executable).parent

# What a page finds in the reader's folder; `run` and `bundle` are those that the quick start leaves.
FAST = {
    "howto/ci.md": ("photos", "bundle-now", "bundle-next"),
    "faq.md": ("photos", "bundle"),
}
SLOW = {
    "index.md": ("photos",),
    "tutorial.md": ("split photos",),
    "howto/calibration.md": ("photos", "run"),
    "howto/npu.md": ("photos", "run"),
    "howto/update.md": ("photos", "run"),
    "howto/own-model.md": ("photos", "model"),
    "howto/backbone.md": ("photos",),
    "howto/imbalance.md": ("photos",),
    "howto/machines.md": ("photos",),
    "howto/audio.md": ("voices", "examples"),
}
OF_TORCHRUN = ("--standalone", "--nproc-per-node", "--nnodes", "--rdzv-backend", "--rdzv-endpoint")
QUICK = "--size 32 --unfreeze 0"
STAND_INS = {
    "edgetl": f"""case $1 in
  train) exec "$PYTHON" -m edgetl "$@" {QUICK} ;;
  advise) exec "$PYTHON" -m edgetl "$@" --size 32 --no-trials --backbone efficientnet_lite0 ;;
  check) "$PYTHON" -m edgetl "$@"; code=$?; [ $code = 3 ] && exit 0; exit $code ;;
  *) exec "$PYTHON" -m edgetl "$@" ;;
esac""",
    "edgetl-runtime": """"$PYTHON" -c "import sys, edgetl_runtime.cli as cli; sys.exit(cli.main())" "$@"
code=$?
[ "$1 $code" = "check 3" ] && exit 0; exit $code""",
    "torchrun": f'exec "$PYTHON" -m torch.distributed.run "$@" {QUICK}',
    "make": f'command -p make --dry-run -C "{ROOT}" "$@" > /dev/null',
}


def blocks(page: str) -> list[tuple[str, str]]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```(bash|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def write_photos(root: Path, count: int, *, first: int = 0) -> None:
    """Noisy squares; each class is brighter in a channel of its own."""
    for name, channel in CLASSES.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = np.random.default_rng(100 * channel + first + number).integers(0, 60, (64, 64, 3))
            pixels[..., channel] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.jpg")


NETWORK = '''"""The reader's network: scores are the means of three channels."""

from torch import nn


class Network(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.first = nn.Conv2d(3, 12, 3, stride=2)
        self.head = nn.Linear(12, classes)

    def forward(self, pictures):
        return self.head(self.first(pictures).relu().mean((2, 3)))
'''
MAKE_MODEL = """import torch
from network import Network

torch.manual_seed(0)
network = Network(2).eval()
with torch.no_grad():
    network.first.weight.fill_(0.01)
    network.first.bias.fill_(1.0)
    network.head.weight.fill_(0.0)
    for output in range(12):
        network.first.weight[output, output % 3] = 0.1
    for label, channel in enumerate((0, 2)):
        network.head.weight[label, channel::3] = 2.0
torch.save(network.state_dict(), "weights.pt")
options = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "n"}, "y": {0: "n"}}}
torch.onnx.export(network, (torch.zeros(1, 3, 32, 32),), "model.onnx", dynamo=False, **options)
"""


class Reader:
    """Somebody who types what a page says, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tools = folder / ".tools"
        tools.mkdir()
        for name, script in STAND_INS.items():
            (tools / name).write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
            (tools / name).chmod(0o755)
        (folder / ".venv/bin").mkdir(parents=True)
        (folder / ".venv/bin/activate").write_text("", encoding="utf-8")
        homes = (ROOT, ROOT / "exporters", ROOT / "runtime", folder)
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(tools), str(BIN), os.environ["PATH"]]),
            "PYTHON": sys.executable,
            "PYTHONPATH": os.pathsep.join(map(str, homes)),
            "EDGETL_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }
        self.environment.pop("EDGETL_LEDGER", None)

    def types(self, language: str, text: str) -> str:
        command = ["bash", "-ec", text] if language == "bash" else [sys.executable, "-c", text]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def has(self, thing: str, quick_start: Path | None) -> None:
        if thing == "photos":
            write_photos(self.folder / "photos", 20)
        elif thing == "split photos":
            write_photos(self.folder / "photos/train", 16)
            write_photos(self.folder / "photos/test", 6, first=50)
        elif thing == "voices":
            if shutil.which("espeak-ng") is None or shutil.which("flite") is None:
                pytest.skip("There is no espeak-ng or no flite. Run: make test-system, which installs both.")
        elif thing == "examples":
            (self.folder / "examples").symlink_to(ROOT / "examples")
        elif thing == "model":
            (self.folder / "network.py").write_text(NETWORK, encoding="utf-8")
            (self.folder / "labels.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
            self.types("python", MAKE_MODEL)
        elif quick_start and thing == "run":
            shutil.copytree(quick_start / "run", self.folder / "run")
        else:
            tiny_bundle(self.folder / thing, classes=("ok", "green", "scratched"))

    def reads(self, page: str) -> str:
        return "".join(self.types(*block) for block in blocks(page))


def read(page: str, folder: Path, things: tuple[str, ...], quick_start: Path | None = None) -> str:
    """Type all that a page says in a folder that has these things, and return what was printed."""
    reader = Reader(folder)
    for thing in things:
        reader.has(thing, quick_start)
    return reader.reads(page)


@pytest.fixture(scope="module")
def quick_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader who has followed the quick start."""
    folder = tmp_path_factory.mktemp("quick-start")
    (folder / "printed").write_text(read("index.md", folder, SLOW["index.md"]), encoding="utf-8")
    return folder


def test_every_page_with_commands_is_run_by_a_test() -> None:
    new = [DOCS / "index.md", DOCS / "tutorial.md", DOCS / "faq.md", *DOCS.glob("howto/*.md")]
    assert sorted(path.relative_to(DOCS).as_posix() for path in new) == sorted({*FAST, *SLOW})
    for page in (*FAST, *SLOW):
        assert blocks(page), page
        fences = re.findall(r"^ *```([a-z]+)$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert set(fences) <= {"bash", "python", "text"}


@pytest.mark.parametrize("page", FAST)
def test_a_page_about_bundles_runs(page: str, tmp_path: Path) -> None:
    assert re.search("^(PASS|INCONCLUSIVE): ", read(page, tmp_path, FAST[page]), re.MULTILINE)


@pytest.mark.slow
def test_the_quick_start_leaves_what_it_says(quick_start: Path) -> None:
    made = {"run", "bundle", "float.json", "int8.json", "report.html"}
    assert made <= {path.name for path in quick_start.iterdir()}
    printed = (quick_start / "printed").read_text(encoding="utf-8")
    assert re.fullmatch(r"ok [01]\.\d+", printed.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in SLOW if page != "index.md"])
def test_a_page_that_trains_or_exports_runs(
    page: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    things = SLOW[page]
    read(page, tmp_path, things, request.getfixturevalue("quick_start") if "run" in things else None)


def flags(page: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z0-9]+(?:-[a-z0-9]+)*", (DOCS / page).read_text(encoding="utf-8")))


def test_every_flag_on_a_page_is_one_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(
        r"^\| `edgetl ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    known = {
        "--standalone",
        "--nproc-per-node",
        "--nnodes",
        "--rdzv-backend",
        "--rdzv-endpoint",
    }  # of torchrun
    for command in commands:
        assert main([command, "--help"]) == 0
        known |= set(re.findall(r"--[a-z0-9-]+", capsys.readouterr().out))
    assert set().union(*map(flags, [*FAST, *SLOW, "concepts/transfer.md"])) - known == set()


def test_every_figure_of_the_concepts_is_on_a_page_that_measured_it() -> None:
    told = set(re.findall(r"\d+\.\d+", (DOCS / "concepts/transfer.md").read_text(encoding="utf-8")))
    sources = [
        ROOT / "README.md",
        DOCS / "ablations.md",
        DOCS / "quantization.md",
        *DOCS.glob("decisions/*.md"),
    ]
    text = " ".join(path.read_text(encoding="utf-8") for path in sources)
    assert told - set(re.findall(r"\d+\.\d+", text)) == set()
