"""What a gradient costs when many draws are taken at once."""

from __future__ import annotations

from typing import Any

from benchmarks import per_step

DRAWS = (1, 8, 64)


def run(repeats: int = 5) -> list[dict[str, Any]]:
    """One row a size: microseconds for one gradient, at 1, 8 and 64 draws a step."""
    rows = []
    for dim, size in ((10, 1_000), (100, 1_000), (10, 100_000)):
        times = {draws: per_step.measure(dim, size, draws, repeats)["ours (us)"] / draws for draws in DRAWS}
        rows.append(
            {"dim": dim, "rows": size}
            | {f"{draws} draws (us a gradient)": round(time, 1) for draws, time in times.items()}
            | {"1 against 64": round(times[1] / times[64], 1)}
        )
    return rows
