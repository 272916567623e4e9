"""What --ray and --ray-workers are refused for, before any work, by whichever command has them."""

from pathlib import Path

import pytest
from edgetl_factories import colour_folder

from edgetl.cli import main
from edgetl.cli.train import _refuse_ranks
from edgetl_runtime.errors import InputError

COMMANDS = (["train", "DATA", "--out", "RUN"], ["validate", "BUNDLE", "DATA"])


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ray-workers", "2"], "--ray-workers needs a cluster. Give --ray local, or --ray HOST:PORT."),
        (["--ray", "auto"], "--ray must be local or HOST:PORT, such as 10.0.0.1:6379, got 'auto'."),
        (["--ray", "127.0.0.1:1"], "--ray must be local or the HOST:PORT of a Ray cluster that runs, got"),
        (["--ray", "local", "--ray-workers", "0"], "--ray-workers"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_refused(
    command: list[str], flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"DATA": colour_folder(tmp_path / "data", 8), "RUN": tmp_path / "run", "BUNDLE": tmp_path / "b"}
    assert main([*(str(places.get(word, word)) for word in command), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_ranks_and_workers_are_not_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    _refuse_ranks("local")
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "here"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    _refuse_ranks(None)
    with pytest.raises(InputError, match="both share out the features"):
        _refuse_ranks("local")
