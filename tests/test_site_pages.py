"""The pages of the site are run: every command and snippet, in the order of the page, in a reader's folder.

Trainings are made short by stand-ins on the PATH that add flags to what the page says. `make` is only asked
whether it has the target; it made the environment that the tests run in. What is fenced as `text` is not run:
it is no command, or one that needs several machines or hours.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from PIL import Image
from runtime_factories import write_shard
from tiny_bundle import tiny_bundle, zip_folder

from edgetl.cli import main
from edgetl_runtime.bundle import Bundle
from edgetl_runtime.signature import sign, write_signature

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
CLASSES = {"ok": 0, "scratched": 2}  # the channel in which the pictures of a class are bright
CLASSES_OF_BUNDLES = ("ok", "green", "scratched")
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Page:
    """has: what it finds in the reader's folder. says: what it prints. leaves: what is there in the end.

    What the quick start leaves is found by a page in SLOW as it was left.
    """

    has: tuple[str, ...] = ()
    says: str = ""
    leaves: tuple[str, ...] = ()


VERDICT = "^(PASS|INCONCLUSIVE): "
FAST = {
    "howto/ci.md": Page(("photos", "bundle-now", "bundle-next"), VERDICT, ("gate.md", "gate.xml")),
    "field.md": Page(("photos", "photo.jpg", "detector", "bundle.zip"), r'^ok\n\(\)\n# [\s\S]*line="3"'),
    "scale.md": Page(("bundle", "shards"), "^colours .* 40 pictures of split test", ("all.json",)),
    "bundle-format.md": Page(leaves=("key.pem", "public.pem")),
    "decisions/0002-turned-before-resize.md": Page(says=r"^20 0\.317"),
}
SLOW = {
    "index.md": Page(
        ("photos",), r"^ok [01]\.\d+$", ("run", "bundle", "float.json", "int8.json", "report.html")
    ),
    "tutorial.md": Page(("split photos",), VERDICT, ("advice", "report.html", "detector")),
    "faq.md": Page(("photos", "bundle"), VERDICT, ("float.json", "openvino.json")),
    "report.md": Page(
        ("photos", "run", "bundle", "float.json", "int8.json"), leaves=("check.json", "report.html")
    ),
    "search.md": Page(("photos",), "^Next: edgetl export ", ("study", "bundle", "study-on-ray")),
    "distributed.md": Page(("photos",), leaves=("run",)),
    "howto/calibration.md": Page(("photos", "run"), leaves=("bundle", "bundle-any", "any.json")),
    "howto/npu.md": Page(("photos", "run"), VERDICT),
    "howto/update.md": Page(("photos", "run"), leaves=("key.pem", "detector", "receipts")),
    "howto/own-model.md": Page(("photos", "model"), leaves=("bundle", "receipt.json", "bundle-mine")),
    "howto/backbone.md": Page(("photos",), leaves=("parts", "line", "mine.safetensors")),
    "howto/train.md": Page(("photos",), r"^\('ok', 'scratched'\)$", ("run", "good", "again")),
    "howto/imbalance.md": Page(("photos",), VERDICT),
    "howto/machines.md": Page(("photos",), leaves=("run", "bundle")),
    "howto/audio.md": Page(("voices", "examples"), leaves=("sounds", "bundle", "others.json", "word.wav")),
}
# Pages that another test runs, which names them.
ELSEWHERE = {
    "gate.md": "test_gate_page.py",
    "runtime.md": "test_runtime_page.py",
    "quantization.md": "exporters/test_on_ethosu.py",
}
# What `make test-system` installs is needed for these, besides time.
SYSTEM = {"howto/audio.md"}
TAGS = {"bash", "python", "text", "json", "yaml", "c"}
OF_TORCHRUN = {"--standalone", "--nproc-per-node", "--nnodes", "--rdzv-backend", "--rdzv-endpoint"}
OF_RAY, OF_BENCHMARKS = {"--head", "--address"}, {"--work", "--counts"}
QUICK = "--size 32 --unfreeze 0"
STAND_INS = {
    "edgetl": f"""case $1 in
  train) exec "$PYTHON" -m edgetl "$@" {QUICK} ;;
  advise) exec "$PYTHON" -m edgetl "$@" --size 32 --no-trials --backbone efficientnet_lite0 ;;
  search) exec "$PYTHON" -m edgetl "$@" --trials 2 --sizes 32 --precisions float \
    --candidates efficientnet_lite0 ;;
  check) "$PYTHON" -m edgetl "$@"; code=$?; [ $code = 3 ] && exit 0; exit $code ;;
  *) exec "$PYTHON" -m edgetl "$@" ;;
esac""",
    "edgetl-runtime": """"$PYTHON" -c "import sys, edgetl_runtime.cli as cli; sys.exit(cli.main())" "$@"
code=$?
[ "$1 $code" = "check 3" ] && exit 0; exit $code""",
    "torchrun": f'exec "$PYTHON" -m torch.distributed.run "$@" {QUICK}',
    "make": f'command -p make --dry-run -C "{ROOT}" "$@" > /dev/null',
}


def fences(page: str) -> list[tuple[str, str]]:
    """Return the tag and the text of every fence of a page, also of those in lists."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.findall(r"^( *)```(.*)\n((?s:.*?))^\1```$", text, re.MULTILINE)
    return [(tag, dedent(inside)) for _, tag, inside in found]


def blocks(page: str) -> list[tuple[str, str]]:
    return [(tag, text) for tag, text in fences(page) if tag in ("bash", "python")]


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
        left, place = (quick_start or self.folder) / thing, self.folder / thing
        if quick_start and left.exists():
            (shutil.copytree if left.is_dir() else shutil.copy2)(left, place)
        elif thing in MADE:
            MADE[thing](self)
        else:
            assert thing.startswith("bundle"), thing
            tiny_bundle(place, classes=CLASSES_OF_BUNDLES)

    def reads(self, page: str) -> str:
        return "".join(self.types(*block) for block in blocks(page))


def find_voices(_: Reader) -> None:
    if shutil.which("espeak-ng") is None or shutil.which("flite") is None:
        pytest.skip("There is no espeak-ng or no flite. Run: make test-system, which installs both.")


def write_split_photos(reader: Reader) -> None:
    write_photos(reader.folder / "photos/train", 16)
    write_photos(reader.folder / "photos/test", 6, first=50)


def write_model(reader: Reader) -> None:
    (reader.folder / "network.py").write_text(NETWORK, encoding="utf-8")
    (reader.folder / "labels.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    reader.types("python", MAKE_MODEL)


def write_shards(reader: Reader) -> None:
    """Write two pictures of each class, as `test-000.tar` and so on."""
    write_photos(reader.folder / "photos", 20)
    for number in range(20):
        samples = {
            f"{name}/{number}.jpg": (
                (reader.folder / f"photos/{name}/{number}.jpg").read_bytes(),
                str(CLASSES_OF_BUNDLES.index(name)),
            )
            for name in CLASSES
        }
        write_shard(reader.folder / f"shards/test-{number:03}.tar", samples)
    (reader.folder / "shards/classnames.txt").write_text("\n".join(CLASSES_OF_BUNDLES), encoding="utf-8")


def write_installed(reader: Reader) -> None:
    """Install a bundle, and measure it on the pictures that it is to be watched with."""
    tiny_bundle(reader.folder / "earlier", classes=CLASSES_OF_BUNDLES, name="earlier")
    reader.types("bash", "edgetl-runtime install earlier --into detector")
    reader.types("bash", "edgetl-runtime validate detector photos --out receipt.json")


def write_signed(reader: Reader) -> None:
    """Sign a bundle by keys that are made as docs/bundle-format.md says."""
    reader.reads("bundle-format.md")
    folder = tiny_bundle(reader.folder / "later", classes=CLASSES_OF_BUNDLES)
    with Bundle.open(folder) as bundle:
        write_signature(folder, sign(bundle.manifest, reader.folder / "key.pem"))
    zip_folder(folder, reader.folder / "bundle.zip")


MADE: dict[str, Callable[[Reader], object]] = {
    "photos": lambda reader: write_photos(reader.folder / "photos", 20),
    "photo.jpg": lambda reader: shutil.copy2(reader.folder / "photos/ok/0.jpg", reader.folder / "photo.jpg"),
    "split photos": write_split_photos,
    "shards": write_shards,
    "voices": find_voices,
    "examples": lambda reader: (reader.folder / "examples").symlink_to(ROOT / "examples"),
    "model": write_model,
    "detector": write_installed,
    "bundle.zip": write_signed,
}


def read(name: str, folder: Path, quick_start: Path | None = None) -> None:
    """Type all that a page says in a folder that has what it needs, and hold it to what it says."""
    reader, page = Reader(folder), {**FAST, **SLOW}[name]
    for thing in page.has:
        reader.has(thing, quick_start)
    printed = reader.reads(name)
    assert re.search(page.says, printed, re.MULTILINE), printed
    assert set(page.leaves) <= {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def quick_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader who has followed the quick start."""
    folder = tmp_path_factory.mktemp("quick-start")
    read("index.md", folder)
    return folder


def test_every_fence_of_a_page_says_what_it_holds() -> None:
    for page in PAGES:
        assert {tag for tag, _ in fences(page)} <= TAGS, page
        marks = re.findall(r"^ *(?:```|~~~)", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert len(marks) == 2 * len(fences(page)), page


def test_every_page_with_commands_is_run_by_a_test() -> None:
    typed = [page for page in PAGES if blocks(page)]
    assert typed == sorted([*FAST, *SLOW, *ELSEWHERE])
    for page, test in ELSEWHERE.items():
        assert f"docs/{page}" in (ROOT / "tests" / test).read_text(encoding="utf-8"), page


@pytest.mark.parametrize("page", FAST)
def test_a_page_runs_and_does_what_it_says(page: str, tmp_path: Path) -> None:
    read(page, tmp_path)


@pytest.mark.slow
def test_the_quick_start_leaves_what_it_says(quick_start: Path) -> None:
    assert (quick_start / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.system if page in SYSTEM else pytest.mark.slow)
        for page in SLOW
        if page != "index.md"
    ],
)
def test_a_page_that_trains_or_exports_runs(
    page: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    goes_on = {*SLOW["index.md"].leaves} & {*SLOW[page].has}
    read(page, tmp_path, request.getfixturevalue("quick_start") if goes_on else None)


def flags(page: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z0-9]+(?:-[a-z0-9]+)*", (DOCS / page).read_text(encoding="utf-8")))


def test_every_flag_on_a_page_is_one_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(
        r"^\| `edgetl ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    known = OF_TORCHRUN | OF_RAY | OF_BENCHMARKS
    for command in commands:
        assert main([command, "--help"]) == 0
        known |= set(re.findall(r"--[a-z0-9-]+", capsys.readouterr().out))
    assert set().union(*map(flags, [*FAST, *SLOW, "concepts/transfer.md"])) - known == set()


def test_every_figure_of_the_concepts_is_on_a_page_that_measured_it() -> None:
    told = set(re.findall(r"\d+\.\d+", (DOCS / "concepts/transfer.md").read_text(encoding="utf-8")))
    sources = [
        ROOT / "README.md",
        DOCS / "ablations.md",
        DOCS / "benchmarks.md",
        DOCS / "quantization.md",
        *DOCS.glob("decisions/*.md"),
    ]
    text = " ".join(path.read_text(encoding="utf-8") for path in sources)
    assert told - set(re.findall(r"\d+\.\d+", text)) == set()
