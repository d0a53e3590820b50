"""What an experiment gives: its numbers, a table, a figure, and what they show in words."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Experiment:
    """A small experiment, done.

    Attributes:
        title: what it is about.
        numbers: {name: number or array}; entropies, divergences and losses are in nats.
        table: the numbers that a reader needs first.
        figure: the same as a picture: ``experiment.figure.savefig("experiment.png")``.
        conclusion: what the numbers show, in words, with the numbers put in.

    Example:
        >>> from vi_toolkit import experiments
        >>> result = experiments.not_a_distance()
        >>> result.title
        'Not a distance'
        >>> round(result.numbers["direct"] / result.numbers["detour"], 6)
        2.0
    """

    title: str
    numbers: Mapping[str, float | np.ndarray]
    table: pd.DataFrame
    figure: Figure
    conclusion: str

    def __str__(self) -> str:
        words = "\n\n".join(textwrap.fill(part, width=110) for part in self.conclusion.split("\n\n"))
        return f"{self.title}\n\n{words}\n\n{self.table.to_string()}"


def rounding() -> float:
    """The distance from 1 to the next number, in the precision that JAX computes in now: 2.2e-16 or 1.2e-7."""
    return float(np.finfo(jnp.result_type(float)).eps)


def precision_words() -> str:
    """The precision of the numbers, for the end of a conclusion."""
    return f"Computed in {jnp.result_type(float).name}, where numbers near 1 are {rounding():.1e} apart."
