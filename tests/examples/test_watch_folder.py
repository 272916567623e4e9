import subprocess
import sys
import time

from tiny_bundle import write_colour

from edgetl_runtime import Session

EVERYTHING = "select name, label, error from predictions order by name"


def test_each_picture_is_logged_once_and_a_broken_one_with_its_reason(tmp_path, bundle, example):
    watch_folder = example("watch_folder.py")
    folder = tmp_path / "incoming"
    write_colour(folder / "a.png", "red")
    (folder / "copy.png").write_bytes((folder / "a.png").read_bytes())
    (folder / "broken.png").write_bytes(b"")
    log = watch_folder.open_log(tmp_path / "log.sqlite")
    sizes: dict = {}
    with Session.open(bundle, variant="onnx-fp32") as session:
        sweeps = [watch_folder.sweep(session, folder, log, sizes) for _ in range(3)]
        assert sweeps == [0, 2, 0]
        write_colour(folder / "b.png", "blue")
        assert [watch_folder.sweep(session, folder, log, sizes) for _ in range(2)] == [0, 1]
        # After a restart nothing is logged again.
        assert [watch_folder.sweep(session, folder, log, {}) for _ in range(2)] == [0, 0]
    rows = log.execute(EVERYTHING).fetchall()
    assert rows == [("a.png", "red", None), ("b.png", "blue", None), ("broken.png", None, "is empty")]
    assert log.execute("select distinct bundle from predictions").fetchall() == [(session.bundle.id,)]
    log.close()


def test_a_file_that_still_grows_waits(tmp_path, bundle, example):
    watch_folder = example("watch_folder.py")
    folder = tmp_path / "incoming"
    whole = write_colour(tmp_path / "whole.png", "green").read_bytes()
    folder.mkdir()
    log, sizes = watch_folder.open_log(tmp_path / "log.sqlite"), {}
    with Session.open(bundle, variant="onnx-fp32") as session:
        for part in (whole[:100], whole[:200], whole):
            (folder / "a.png").write_bytes(part)
            assert watch_folder.sweep(session, folder, log, sizes) == 0
        assert watch_folder.sweep(session, folder, log, sizes) == 1
    assert log.execute(EVERYTHING).fetchall() == [("a.png", "green", None)]
    log.close()


def test_files_that_vanish_end_nothing_and_are_forgotten(tmp_path, bundle, example):
    watch_folder = example("watch_folder.py")
    folder = tmp_path / "incoming"
    for name in ("a.png", "b.png"):
        write_colour(folder / name, "red", ord(name[0]))
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")
    log, seen = watch_folder.open_log(tmp_path / "log.sqlite"), {}
    with Session.open(bundle, variant="onnx-fp32") as session:
        watch_folder.sweep(session, folder, log, seen)
        assert set(seen) == {folder / "a.png", folder / "b.png"}

        class Removing:
            """A session whose first answer comes as the next file is removed."""

            bundle, current = session.bundle, property(lambda self: self)

            def predict(self, data):
                (folder / "b.png").unlink(missing_ok=True)
                return session.predict(data)

        assert watch_folder.sweep(Removing(), folder, log, seen) == 1
        assert watch_folder.sweep(session, folder, log, seen) == 0
        assert set(seen) == {folder / "a.png"}
        # Another picture under a name that was logged.
        write_colour(folder / "a.png", "blue", 7)
        assert [watch_folder.sweep(session, folder, log, seen) for _ in range(3)] == [0, 1, 0]
    labels = log.execute("select name, label from predictions order by seen, rowid").fetchall()
    assert labels == [("a.png", "red"), ("a.png", "blue")]
    log.close()


def test_the_program_logs_until_it_is_stopped(tmp_path, bundle, example):
    watch_folder = example("watch_folder.py")
    write_colour(tmp_path / "incoming/a.png", "red")
    arguments = [watch_folder.__file__, bundle, tmp_path / "incoming", tmp_path / "log.sqlite"]
    program = subprocess.Popen([sys.executable, *map(str, arguments)])
    try:
        deadline = time.monotonic() + 60
        rows: list = []
        while not rows and time.monotonic() < deadline:
            assert program.poll() is None
            time.sleep(0.1)
            log = watch_folder.open_log(tmp_path / "log.sqlite")
            rows = log.execute(EVERYTHING).fetchall()
            log.close()
    finally:
        program.terminate()
        program.wait()
    assert rows == [("a.png", "red", None)]
