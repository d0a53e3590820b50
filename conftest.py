"""What every test process settles before vi_toolkit is imported, for tests, docstrings and README alike.

Environment variables (the defaults are what `make test` uses):
    VI_TOOLKIT_X64=1        float64; 0 is float32, where only tests marked float32 or any_precision run. A process has
                            one precision: programs that JAX has compiled do not survive a change of it.
    VI_TOOLKIT_TYPECHECK=1  every annotation of the package is checked at run time by jaxtyping and beartype.
    VI_TOOLKIT_CACHE=1      compiled programs are kept in .pytest_cache/jax for the next run.
    JAX_PLATFORMS=cpu       where the tests compute.
"""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["MPLBACKEND"] = "Agg"
# SciPy's BLAS, which JAX calls for triangular solves, spins on its threads: with two test workers on two cores a
# solve of 50 microseconds takes 8 milliseconds.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hypothesis
import jax
import jaxtyping
import pytest
from jax.experimental.compilation_cache import compilation_cache

import tests.typecheck

X64 = os.environ.get("VI_TOOLKIT_X64", "1") != "0"
TYPECHECK = os.environ.get("VI_TOOLKIT_TYPECHECK", "1") != "0"
CACHE = os.environ.get("VI_TOOLKIT_CACHE", "1") != "0"
MAX_MAPS = 25_000

jax.config.update("jax_enable_x64", X64)
if TYPECHECK:
    jaxtyping.install_import_hook("vi_toolkit", f"{tests.typecheck.__name__}.check")
if CACHE:
    jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parent / ".pytest_cache" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

# No deadline: the first call of a jitted function takes seconds, the second microseconds. CI repeats the same examples.
hypothesis.settings.register_profile("vi-toolkit", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("vi-toolkit")


def pytest_report_header() -> str:
    on = {True: "on", False: "off"}
    precision = "float64" if X64 else "float32"
    return f"vi-toolkit: {precision}, run-time type checks {on[TYPECHECK]}, compilation cache {on[CACHE]}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the tests that belong to the other precision."""
    chosen = [item for item in items if runs_here(item)]
    config.hook.pytest_deselected(items=[item for item in items if not runs_here(item)])
    items[:] = chosen


def runs_here(item: pytest.Item) -> bool:
    if item.get_closest_marker("any_precision"):
        return True
    return (item.get_closest_marker("float32") is None) == X64


@pytest.fixture(autouse=True)
def leave_nothing_behind() -> Iterator[None]:
    """Closes the figures that a test left open."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(autouse=True, scope="module")
def drop_programs() -> Iterator[None]:
    """Drops the compiled programs of earlier modules before there are too many.

    Each takes several memory maps, of which Linux allows a process 65,530: beyond, LLVM ends the process.
    """
    yield
    if num_maps() > MAX_MAPS:
        jax.clear_caches()
        gc.collect()


def num_maps() -> int:
    try:
        return Path("/proc/self/maps").read_bytes().count(b"\n")
    except OSError:  # not on Linux
        return 0


@pytest.fixture(autouse=True)
def own_compilations(request: pytest.FixtureRequest) -> Iterator[None]:
    """Lets a test marked no_compilation_cache compile everything for itself."""
    apart = CACHE and request.node.get_closest_marker("no_compilation_cache") is not None
    if apart:
        use_compilation_cache(False)
    yield
    if apart:
        use_compilation_cache(True)


def use_compilation_cache(on: bool) -> None:
    jax.config.update("jax_enable_compilation_cache", on)
    compilation_cache.reset_cache()  # JAX decides once whether to use the cache, and would not look again
