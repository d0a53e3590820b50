"""One self-contained page for a fit, for a comparison, or for a fit that was saved."""

from vi_toolkit.report.report import (
    report as report,
    report_of_file as report_of_file,
    report_of_tree as report_of_tree,
)
