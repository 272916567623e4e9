"""Events: whoever does not care hears nothing."""

from edgetl.events import Epoch, Step, Watcher


def test_the_default_watcher_takes_everything_and_does_nothing() -> None:
    watcher = Watcher()
    epoch = Epoch(1, 2.0, 0.5, 0.6, 0.9, 0.8)
    watcher.phase("head")
    watcher.progress(1, 2)
    watcher.note("so")
    watcher.epoch("last stage", epoch, 3)
    watcher.step(Step("head", 10, 1.0, 0.5, 0.9, 0.8, True, "solved", (epoch,)))
    assert vars(watcher) == {}
