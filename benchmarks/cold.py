"""The time of a first fit in a fresh process, compiling included: ours, NumPyro's, and a loop written by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from statistics import median
from typing import Any

NUM_ROWS, DIM, NUM_STEPS, NUM_DRAWS = 1000, 10, 1000, 32

_PROLOGUE = f"""
import json, sys, time
import jax, jax.numpy as jnp, numpy as np, numpyro, optax
import vi_toolkit as vi
from benchmarks import _problem
programs, clock = [], time.perf_counter
jax.monitoring.register_event_duration_secs_listener(
    lambda name, seconds, **_: programs.append(seconds) if name.endswith("/backend_compile_duration") else None
)
X, y = _problem.logistic_data({NUM_ROWS}, {DIM})
X, y = jnp.asarray(X), jnp.asarray(y)
key = jax.random.key(0)
jax.jit(lambda x: x + 1)(1.0)  # JAX's own start-up is not part of any fit
programs.clear()
"""

_EPILOGUE = """
print(json.dumps({"seconds": seconds, "again": again, "programs": first, "programs_again": len(programs)}))
"""

SCRIPTS = {
    "by hand": f"""
run = _problem.bare_loop({NUM_STEPS}, {NUM_DRAWS})
def fit(key): return jax.block_until_ready(run(jnp.zeros({DIM}), key, X, y))
""",
    "vi-toolkit": f"""
def fit(key):
    target = vi.from_numpyro(_problem.logistic_model, X, response=y)
    return vi.fit(key, target, vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()), max_steps={NUM_STEPS})
""",
    "vi-toolkit, full rank": f"""
def fit(key):
    target = vi.from_numpyro(_problem.logistic_model, X, response=y)
    return vi.fit(key, target, vi.gradient(vi.FullRankNormal(), vi.ReverseKL()), max_steps={NUM_STEPS})
""",
    "NumPyro svi.run": f"""
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoDiagonalNormal
def fit(key):
    guide = AutoDiagonalNormal(_problem.logistic_model)
    svi = SVI(_problem.logistic_model, guide, numpyro.optim.Adam(0.01), Trace_ELBO(num_particles={NUM_DRAWS}))
    return svi.run(key, {NUM_STEPS}, X, response=y)
""",
}

_MEASURE = """
began = clock(); fit(key); seconds = clock() - began
first = len(programs); programs.clear()
other = jax.random.key(1); programs.clear()
began = clock(); fit(other); again = clock() - began
"""


def run(repeats: int = 3) -> list[dict[str, Any]]:
    """One row a contender: seconds of a first fit, with an empty and a filled compilation cache, and of a second."""
    rows = {name: {"cold": [], "cached": []} for name in SCRIPTS}
    facts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        cache = {
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        for name in SCRIPTS:
            _once(name, cache)  # fills the cache
        for _ in range(repeats):  # in turn, so that a change of the machine's pace meets all alike
            for name in SCRIPTS:
                facts[name] = _once(name, {})
                rows[name]["cold"].append(facts[name]["seconds"])
                rows[name]["cached"].append(_once(name, cache)["seconds"])
    yardstick = median(rows["by hand"]["cold"])
    return [
        {
            "fit": name,
            "cold (s)": round(median(times["cold"]), 2),
            "against by hand": round(median(times["cold"]) / yardstick, 2),
            "cached (s)": round(median(times["cached"]), 2),
            "second fit (s)": round(facts[name]["again"], 3),
            "programs": facts[name]["programs"],
            "programs of a second fit": facts[name]["programs_again"],
        }
        for name, times in rows.items()
    ]


def _once(name: str, environment: dict[str, str]) -> dict[str, Any]:
    script = _PROLOGUE + SCRIPTS[name] + _MEASURE + _EPILOGUE
    settings = {"OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0", **os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=settings, check=True)
    facts: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return facts
