"""The time of one step, against a bare jitted scan of value-and-gradient and Adam on the same density."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vi_toolkit as vi
from benchmarks._problem import bare_loop, logistic_data, logistic_model
from vi_toolkit import programs, windows

SIZES = [(dim, rows) for rows in (1_000, 100_000) for dim in (10, 100, 1_000)]
SECONDS = 0.5  # for one measurement; as many steps as that takes, at most a window's worth


def run(num_draws: int = 1, repeats: int = 7) -> list[dict[str, Any]]:
    """One row a size: microseconds a step of the bare loop and of ours, measured in turn, and their ratio."""
    return [measure(dim, rows, num_draws, repeats) for dim, rows in SIZES]


def measure(dim: int, rows: int, num_draws: int, repeats: int) -> dict[str, Any]:
    """One row: the bare loop and ours in turn, ``repeats`` times."""
    design, response = (jnp.asarray(part) for part in logistic_data(rows, dim))
    key = jax.random.key(0)
    target = vi.from_numpyro(logistic_model, design, response=response)
    method = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL(), num_draws=num_draws)
    point, _, _ = windows.begin(key, method, target)
    data = programs.stream(point.key, programs.Purpose.STEP)

    def ours(steps: int) -> Any:
        return programs.advance_program(
            method, target, data, point.state, np.uint32(0), np.int32(steps), np.bool_(True), point.key_kind
        )

    one = _seconds(lambda: ours(2)) / 2
    steps = int(np.clip(SECONDS / one, 4, programs.BUFFER))
    yardstick = bare_loop(steps, num_draws)
    start = jnp.zeros(dim)
    pairs = [
        (_seconds(lambda: yardstick(start, key, design, response)), _seconds(lambda: ours(steps)))
        for _ in range(repeats + 1)
    ][1:]  # the first pair compiles
    return {
        "dim": dim,
        "rows": rows,
        "draws a step": num_draws,
        "bare (us)": round(median(bare for bare, _ in pairs) / steps * 1e6, 1),
        "ours (us)": round(median(mine for _, mine in pairs) / steps * 1e6, 1),
        "ratio": round(median(mine / bare for bare, mine in pairs), 2),
    }


def _seconds(call: Any) -> float:
    jax.block_until_ready(call())
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began
