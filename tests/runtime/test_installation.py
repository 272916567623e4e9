"""Installing into two slots: whatever happens, one working bundle is there."""

import errno
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tiny_bundle import tiny_bundle, write_colour, zip_folder

from edgetl_runtime import Bundle, Session, installation
from edgetl_runtime.cli import main
from edgetl_runtime.engines.ort import OrtEngine
from edgetl_runtime.errors import BundleError, InputError, ProofError, SignatureError
from edgetl_runtime.installation import install, rollback
from edgetl_runtime.signature import PublicKey
from edgetl_runtime.slots import Pointer, Slot, read_pointer


def no_proof(bundle: Bundle) -> None:
    """For tests of what happens on the disk."""


@pytest.fixture
def bundles(tmp_path):
    """Write bundles that differ in their name; returns their paths."""

    def write(*names):
        return [tiny_bundle(tmp_path / name, name=name) for name in names]

    return write


def name_in_use(folder: Path) -> str:
    with Bundle.open(folder) as bundle:
        return bundle.manifest.name


def test_the_first_bundle_goes_into_slot_a_and_predicts(tmp_path, bundles):
    (first,) = bundles("first")
    pointer = install(first, tmp_path / "slots")
    assert pointer == Pointer(Slot("a", Bundle.open(first).id), None)
    with Session.open(tmp_path / "slots") as session:
        assert session.proof is not None
        assert session.predict(write_colour(tmp_path / "red.png", "red")).label == "red"


def test_bundles_take_turns_and_the_one_before_is_kept(tmp_path, bundles):
    first, second, third = bundles("first", "second", "third")
    folder = tmp_path / "slots"
    ids = [Bundle.open(path).id for path in (first, second, third)]
    install(first, folder, prove=no_proof)
    assert install(second, folder, prove=no_proof) == Pointer(Slot("b", ids[1]), Slot("a", ids[0]))
    assert install(third, folder, prove=no_proof) == Pointer(Slot("a", ids[2]), Slot("b", ids[1]))
    assert name_in_use(folder) == "third"


def test_a_rollback_goes_back_and_a_second_one_forth(tmp_path, bundles):
    first, second = bundles("first", "second")
    folder = tmp_path / "slots"
    install(first, folder, prove=no_proof)
    install(second, folder, prove=no_proof)
    rollback(folder, prove=no_proof)
    assert name_in_use(folder) == "first"
    rollback(folder, prove=no_proof)
    assert name_in_use(folder) == "second"


def test_a_zip_is_installed_as_a_folder_is(tmp_path, bundles):
    (first,) = bundles("first")
    install(zip_folder(first, tmp_path / "first.zip"), tmp_path / "slots", prove=no_proof)
    assert Bundle.open(tmp_path / "slots").id == Bundle.open(first).id


def test_the_bundle_in_use_is_not_installed_twice_unless_it_is_damaged(tmp_path, bundles):
    first, second = bundles("first", "second")
    folder = tmp_path / "slots"
    install(first, folder, prove=no_proof)
    before = install(second, folder, prove=no_proof)
    assert install(second, folder, prove=no_proof) == before
    (folder / "b/onnx/model.onnx").write_bytes(b"rotten")
    assert install(second, folder, prove=no_proof) == Pointer(before.current, before.previous)
    assert name_in_use(folder) == "second"


@pytest.mark.parametrize("harm", ["rotten", "another driver"])
def test_the_only_bundle_that_can_be_used_is_not_given_up_for_a_new_one(tmp_path, bundles, harm):
    first, second, third = bundles("first", "second", "third")
    folder = tmp_path / "slots"
    install(first, folder, prove=no_proof)
    before = install(second, folder, prove=no_proof)
    if harm == "rotten":
        (folder / "b/onnx/model.onnx").write_bytes(b"rotten")
    seen = []

    def fails_in_slot_b(bundle):
        seen.append(read_pointer(folder))
        if bundle.root == folder / "b":
            raise ProofError("not here")

    with pytest.raises(ProofError, match="not here"):
        install(third, folder, prove=fails_in_slot_b)
    assert seen[-1] == read_pointer(folder) == Pointer(before.previous, None)
    assert name_in_use(folder) == "first"
    assert install(third, folder, prove=no_proof).previous == before.previous


def test_a_bundle_that_does_not_prove_itself_changes_nothing(tmp_path, bundles):
    first, second = bundles("first", "second")
    folder = tmp_path / "slots"
    install(first, folder, prove=no_proof)
    before = install(second, folder, prove=no_proof)
    liar = tiny_bundle(tmp_path / "liar", logits={"onnx-fp32": lambda logits: logits + 1})
    with pytest.raises(ProofError):
        install(liar, folder)
    assert read_pointer(folder) == before
    assert rollback(folder, prove=no_proof).current == before.previous


def test_a_bundle_that_fails_in_its_slot_alone_is_removed_from_it(tmp_path, bundles):
    """As a disk would do it that does not give back what was written."""
    first, second = bundles("first", "second")
    folder = tmp_path / "slots"
    before = install(first, folder, prove=no_proof)

    def fails_in_slots(bundle):
        if folder in bundle.root.parents:
            raise ProofError("not here")

    with pytest.raises(ProofError, match="not here"):
        install(second, folder, prove=fails_in_slots)
    assert read_pointer(folder) == before
    assert not (folder / "b").exists()


def test_a_damaged_or_unsigned_bundle_changes_nothing(tmp_path, bundles):
    first, second = bundles("first", "second")
    folder = tmp_path / "slots"
    before = install(first, folder, prove=no_proof)
    with pytest.raises(SignatureError):
        install(second, folder, trust=[PublicKey(bytes(32))], prove=no_proof)
    (second / "onnx/model.onnx").write_bytes(b"rotten")
    with pytest.raises(BundleError):
        install(second, folder, prove=no_proof)
    assert read_pointer(folder) == before
    assert not (folder / "b").exists()


def test_a_rollback_to_a_damaged_bundle_is_refused(tmp_path, bundles):
    first, second = bundles("first", "second")
    folder = tmp_path / "slots"
    install(first, folder, prove=no_proof)
    install(second, folder, prove=no_proof)
    (folder / "a/onnx/model.onnx").unlink()
    with pytest.raises(BundleError, match="is missing"):
        rollback(folder, prove=no_proof)
    assert name_in_use(folder) == "second"


def test_what_this_machine_remembers_is_no_proof_for_a_switch(tmp_path, bundles, monkeypatch, capsys):
    first, second = bundles("first", "second")
    folder = tmp_path / "slots"
    before = install(first, folder), install(second, folder)
    Session.open(first).close()
    run = OrtEngine.run

    def wrong(engine, images):
        logits, probabilities = run(engine, images)
        return logits + 1, probabilities

    monkeypatch.setattr(OrtEngine, "run", wrong)  # As after an update of a driver that does not tell.
    assert Session.open(first).proof.remembered
    with pytest.raises(ProofError, match="logits off by 1"):
        rollback(folder)
    with pytest.raises(ProofError, match="logits off by 1"):
        install(first, folder)
    assert main(["rollback", str(folder)]) == 1
    assert "logits off by 1" in capsys.readouterr().err
    assert read_pointer(folder) == before[-1]


def test_a_rollback_without_a_bundle_before_says_so(tmp_path, bundles):
    install(*bundles("first"), tmp_path / "slots", prove=no_proof)
    with pytest.raises(InputError, match="there is none to go back to"):
        rollback(tmp_path / "slots", prove=no_proof)
    with pytest.raises(InputError, match=r"is not a folder of slots: it has no slots\.json"):
        rollback(tmp_path / "nowhere", prove=no_proof)
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path, bundles):
    (first,) = bundles("first")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/a").mkdir()
    (tmp_path / "home/letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(InputError, match=r"holds 'letter.txt', so it is no folder of slots"):
        install(first, tmp_path / "home", prove=no_proof)
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["a", "letter.txt"]


def test_a_slot_that_holds_another_bundle_is_not_opened(tmp_path, bundles):
    first, second = bundles("first", "second")
    folder = tmp_path / "slots"
    install(first, folder, prove=no_proof)
    shutil.rmtree(folder / "a")
    shutil.copytree(second, folder / "a")
    with pytest.raises(BundleError, match="holds another bundle than was installed"):
        Bundle.open(folder)


@pytest.mark.parametrize("damage", ["", "{}", '{"format_version": 1, "current": nu'])
def test_an_installation_mends_a_damaged_pointer(tmp_path, bundles, damage, caplog):
    first, second, third = bundles("first", "second", "third")
    folder = tmp_path / "slots"
    install(first, folder, prove=no_proof)
    before = install(second, folder, prove=no_proof)
    (folder / "slots.json").write_text(damage, encoding="utf-8")
    with pytest.raises(BundleError, match="Run: edgetl-runtime install BUNDLE --into the folder"):
        Bundle.open(folder)
    assert install(second, folder, prove=no_proof) == before
    assert "slots.json was damaged; slot 'b', the newest, counts as in use." in caplog.text
    (folder / "slots.json").write_text(damage, encoding="utf-8")
    assert install(third, folder, prove=no_proof).previous == before.current
    assert name_in_use(folder) == "third"


def test_of_slots_without_a_pointer_only_whole_ones_count(tmp_path, bundles):
    first, second, third = bundles("first", "second", "third")
    folder = tmp_path / "slots"
    install(first, folder, prove=no_proof)
    install(second, folder, prove=no_proof)
    for damaged, back in (("b", Slot("a", Bundle.open(first).id)), ("a", None)):
        (folder / damaged / "onnx/model.onnx").write_bytes(b"rotten")
        (folder / "slots.json").write_text("", encoding="utf-8")
        copy = shutil.copytree(folder, tmp_path / f"without-{damaged}")
        assert install(third, copy, prove=no_proof).previous == back
        assert name_in_use(copy) == "third"


def test_a_pointer_of_a_newer_version_is_not_overwritten(tmp_path, bundles):
    folder = tmp_path / "slots"
    install(*bundles("first"), folder, prove=no_proof)
    newer = '{"format_version": 2, "in_use": "a"}'
    (folder / "slots.json").write_text(newer, encoding="utf-8")
    with pytest.raises(BundleError, match=r"has format version 2; this edgetl reads 1\. Update edgetl\."):
        install(*bundles("second"), folder, prove=no_proof)
    assert (folder / "slots.json").read_text(encoding="utf-8") == newer


def test_slots_inside_a_slot_are_not_followed(tmp_path, bundles):
    install(*bundles("first"), tmp_path / "slots", prove=no_proof)
    shutil.rmtree(tmp_path / "slots/a")
    (tmp_path / "slots/a").symlink_to(tmp_path / "slots")
    with pytest.raises(BundleError, match="is not a bundle"):
        Bundle.open(tmp_path / "slots")


def test_of_two_installers_the_second_is_sent_away(tmp_path, bundles):
    first, second = bundles("first", "second")
    folder = tmp_path / "slots"
    entered, leave = threading.Event(), threading.Event()

    def slow(bundle):
        entered.set()
        assert leave.wait(60)

    worker = threading.Thread(target=install, args=(first, folder), kwargs={"prove": slow})
    worker.start()
    assert entered.wait(60)
    with pytest.raises(InputError, match="Another installation is at work"):
        install(second, folder, prove=no_proof)
    leave.set()
    worker.join()
    assert name_in_use(folder) == "first"
    install(second, folder, prove=no_proof)


@pytest.mark.parametrize("full_at", range(4))
def test_a_disk_that_fills_up_leaves_the_old_bundle(tmp_path, bundles, monkeypatch, full_at):
    first, second = bundles("first", "second")
    folder = tmp_path / "slots"
    before = install(first, folder, prove=no_proof)
    copied, copy = 0, shutil.copyfile

    def until_full(source, target):
        nonlocal copied
        if copied == full_at * 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        copied += 1
        return copy(source, target)

    monkeypatch.setattr(installation.shutil, "copyfile", until_full)
    with pytest.raises(InputError, match="No space left on the disk"):
        install(second, folder, prove=no_proof)
    monkeypatch.undo()
    assert read_pointer(folder) == before
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "a", "slots.json"]
    install(second, folder, prove=no_proof)
    assert name_in_use(folder) == "second"


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="kills forked installers")
@pytest.mark.parametrize("installed", [0, 1, 2])
def test_killed_at_any_step_one_working_bundle_remains(tmp_path, bundles, installed):
    *old, new = bundles("first", "second", "third")[2 - installed :]
    program = Path(__file__).with_name("killed_installs.py")
    done = subprocess.run(
        [sys.executable, program, tmp_path, *old, new], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    ids = [Bundle.open(path).id for path in (*old, new)]
    assert len(kills) > 40
    assert [kill["code"] for kill in kills] == [77] * (len(kills) - 1) + [0]
    # The old bundle up to one moment, the new one from then on; without an old one, none.
    current = [kill["current"] for kill in kills]
    before = ids[-2] if old else None
    switched = current.index(ids[-1])
    assert current == [before] * switched + [ids[-1]] * (len(kills) - switched)
    # Whenever a bundle is named to go back to, it is whole.
    assert {kill["back"] for kill in kills[:switched]} <= {None, *ids[:-2]}
    assert {kill["back"] for kill in kills[switched:]} == {before}
    # Whatever a kill left behind, the next installation clears away.
    assert {kill["again"] for kill in kills} == {ids[-1]}
    assert {name for kill in kills for name in kill["left"]} <= {".lock", "a", "b", "slots.json"}


def test_the_commands_install_and_go_back(tmp_path, bundles, capsys):
    first, second = bundles("first", "second")
    folder = tmp_path / "slots"
    assert main(["install", str(first), "--into", str(folder)]) == 0
    assert "To go back" not in capsys.readouterr().out
    assert main(["install", str(second), "--into", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1].split() == ["in", "use", "b", Bundle.open(second).id]
    assert f"To go back: edgetl-runtime rollback {folder}" in out
    assert main(["rollback", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["current"] == {"name": "a", "id": Bundle.open(first).id}
    assert main(["info", str(folder)]) == 0
    assert "first" in capsys.readouterr().out


def test_the_commands_prove_as_the_app_will_open(tmp_path, bundles, capsys):
    first, second = bundles("first", "second")
    folder = str(tmp_path / "slots")
    toaster = ["--variant", "onnx-fp32", "--device", "toaster"]
    for command in (["install", str(first), "--into", folder], ["rollback", folder]):
        if command[0] == "rollback":
            install(second, folder, prove=no_proof)
        assert main([*command, *toaster]) == 2
        assert "has no device 'toaster'" in capsys.readouterr().err
        assert main([*command, "--threads", "0"]) == 2
        assert "threads must be at least 1" in capsys.readouterr().err
        assert main([*command, *toaster, "--fallback", "cpu", "--hint", "throughput"]) == 0
        assert "was skipped: Engine 'onnxruntime' has no device 'toaster'" in capsys.readouterr().err


def test_the_command_asks_for_a_signature(tmp_path, bundles, capsys):
    (first,) = bundles("first")
    assert main(["install", str(first), "--into", str(tmp_path / "slots"), "--trust", "0" * 64]) == 2
    assert "is not signed" in capsys.readouterr().err
    assert not (tmp_path / "slots").exists()
