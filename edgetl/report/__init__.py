"""One self-contained HTML file from any of a run, a bundle and receipts."""

from edgetl.report.build import Wanted, build_report
from edgetl.report.sources import Sources, read_sources

__all__ = ["Sources", "Wanted", "build_report", "read_sources"]
