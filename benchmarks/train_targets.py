"""What training must reach beside its peers, from the cells that are there."""

from collections.abc import Iterator, Mapping
from statistics import fmean

from benchmarks.targets import Row
from benchmarks.train_table import OURS, PEERS, Cells, both, mean, metrics_of, paired

_FASTER = 10.0
# A policy that never keeps a tuned step fails this.
_STAGED_SET, _STAGED_GAIN = "fashion-1000", 3.0


def rows(cells: Mapping[str, Cells]) -> list[Row]:
    """Return the targets of all sets of which enough was measured."""
    return [row for name, found in cells.items() for row in _rows(name, found)]


def _rows(name: str, cells: Cells) -> Iterator[Row]:
    """Yield a set's targets: against the best peer, against the time of each, and against the head alone."""
    there = [peer for peer in PEERS if cells.get(peer)]
    for metric in metrics_of(cells[there[0]][0]) if there else ():
        best = max(there, key=lambda peer: mean(cells[peer], metric))
        yield from _accuracy(name, cells, best, metric)
        for peer in there:
            yield from _time(name, cells, peer, metric)
    if name == _STAGED_SET:
        ours, head = both(cells.get("ours", ()), cells.get("ours-head", ()))
        if ours:
            gain = 100 * (mean(ours, "accuracy") - mean(head, "accuracy"))
            yield Row(f"{name}: tuned less head alone", round(gain, 1), _STAGED_GAIN, "pp", at_least=True)
            yield from _accuracy(name, cells, "ours-head", "accuracy")


def _accuracy(name: str, cells: Cells, peer: str, metric: str) -> Iterator[Row]:
    ours, theirs = both(cells.get("ours", ()), cells[peer])
    if ours:
        low = 100 * paired(ours, theirs, metric)[0]
        what = f"{name}: {metric.replace('_', ' ')}, ours less {peer}, lower end"
        yield Row(what, round(low, 1), 0, "pp", at_least=True)


def _time(name: str, cells: Cells, peer: str, metric: str) -> Iterator[Row]:
    """Yield how much sooner the first of ours is as good as the peer; 0 times where none of ours is."""
    pairs = [both(cells.get(method, ()), cells[peer]) for method in OURS]
    measured = [(ours, theirs) for ours, theirs in pairs if ours]
    ratios = (
        fmean(one.seconds for one in theirs) / fmean(one.seconds for one in ours)
        for ours, theirs in measured
        if mean(ours, metric) >= mean(theirs, metric)
    )
    if measured:
        what = f"{name}: times sooner at {peer}'s {metric.replace('_', ' ')}"
        yield Row(what, round(next(ratios, 0.0), 1), _FASTER, at_least=True)
