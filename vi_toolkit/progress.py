"""A progress line for a fit."""

from __future__ import annotations

from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress as RichProgress, TextColumn, TimeElapsedColumn


class Progress:
    """Shows loss, rate and status of a fit on one line, or nothing at all."""

    def __init__(self, show: bool, total: int) -> None:
        columns = (
            TextColumn("fit"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:>12}"),
            TextColumn("{task.fields[rate]:>10} steps/s"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[status]}"),
        )
        self.bar = RichProgress(*columns) if show else None
        self.task = self.bar.add_task("fit", total=total, loss="", rate="", status="running") if self.bar else None

    def __enter__(self) -> Progress:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()

    def update(self, step: int, loss: float) -> None:
        """Shows that ``step`` steps are done, the last with this loss in nats."""
        if self.bar is None or self.task is None:
            return
        speed = self.bar.tasks[self.task].speed
        self.bar.update(self.task, completed=step, loss=f"{loss:.4g}", rate=f"{speed:.0f}" if speed else "")

    def end(self, status: str) -> None:
        """Shows how the fit ended."""
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, status=status)
