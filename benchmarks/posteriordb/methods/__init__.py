"""Every method of the bench by name: library/method. A new one is a line in the file of its library."""

from __future__ import annotations

from benchmarks.posteriordb.contender import Contender
from benchmarks.posteriordb.methods import (
    blackjax_vi,
    numpyro_nuts,
    numpyro_svi,
    optimum,
    ours,
    pymc_extras_vi,
    pymc_vi,
)

METHODS: dict[str, Contender] = {
    **ours.CONTENDERS,
    **numpyro_svi.CONTENDERS,
    **blackjax_vi.CONTENDERS,
    **pymc_vi.CONTENDERS,
    **pymc_extras_vi.CONTENDERS,
    **numpyro_nuts.CONTENDERS,
    **optimum.CONTENDERS,
}


def choose(words: list[str] | None) -> list[str]:
    """The names that are given, or begin with a word that is given ("numpyro/"); all without any.

    Raises:
        ValueError: if a word fits none.
    """
    if not words:
        return list(METHODS)
    for word in words:
        if not any(name == word or name.startswith(f"{word.rstrip('/')}/") for name in METHODS):
            raise ValueError(f"methods: no {word!r}; there are {', '.join(METHODS)}.")
    return [name for name in METHODS if any(name == w or name.startswith(f"{w.rstrip('/')}/") for w in words)]
