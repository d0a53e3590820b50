"""What every experiment is held against."""

import re

import jax.numpy as jnp
import numpy as np
import pandas as pd

from tests.plots.inside import check_inside
from vi_toolkit.experiments import Experiment


def check_experiment(result: Experiment, panels: int) -> None:
    """The record is whole: numbers, a table without gaps, words with numbers in them, and a figure that fits."""
    for name, value in result.numbers.items():
        assert isinstance(value, (float, np.ndarray)), name
        assert not np.isnan(value).any(), name
    assert isinstance(result.table, pd.DataFrame)
    assert not result.table.isna().any(axis=None)
    assert len(re.findall(r"\d\.\d", result.conclusion)) >= 3
    assert not re.search(r"\bnan\b", result.conclusion)
    assert result.title in str(result)
    assert f"{jnp.result_type(float).name}" in result.conclusion or result.title == "Not a distance"
    figure = result.figure
    assert len(figure.axes) == panels
    for axes in figure.axes:
        assert axes.get_title(loc="left")
        assert axes.get_xlabel()
    check_inside(figure)
