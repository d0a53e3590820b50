"""Results as text and as plain data."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from rich.console import Console

import vi_toolkit as vi
from vi_toolkit.tables import _number, markdown, plain, rich_table, site_moments, site_table


@pytest.fixture
def tree():
    draws = np.random.default_rng(0).normal(size=(1, 4000))
    slopes = np.stack([100 * draws, 0.001 * draws], axis=-1)
    posterior = xr.Dataset(
        {"level": (("chain", "draw"), draws + 5.0), "slope": (("chain", "draw", "what"), slopes)},
        coords={"what": ["age", "sex"]},
    )
    return xr.DataTree.from_dict({"posterior": posterior})


def test_moments_are_those_of_the_draws(tree):
    draws = tree["posterior"]["level"].values.ravel()
    moments = site_moments(tree)
    assert list(moments) == ["level", "slope[age]", "slope[sex]"]
    expected = {
        "mean": draws.mean(),
        "sd": draws.std(ddof=1),
        "5 %": np.quantile(draws, 0.05),
        "95 %": np.quantile(draws, 0.95),
    }
    assert moments["level"] == pytest.approx(expected)


def test_numbers_are_rounded_to_two_digits_of_the_sd(tree):
    table = site_table(tree)
    assert table.index.name == "unknown"
    assert table.loc["slope[sex]", "sd"] == f"{site_moments(tree)['slope[sex]']['sd']:.5f}"
    assert "." not in table.loc["slope[age]", "sd"].rstrip("0") or float(table.loc["slope[age]", "sd"]) > 90


def test_markdown():
    table = pd.DataFrame({"a|b": ["1"], "c": ["x y"]}, index=pd.Index(["row"], name="name"))
    assert markdown(table) == "| name | a\\|b | c |\n|---|---|---|\n| row | 1 | x y |"


def test_plain_is_json():
    value = {
        "a": np.float32(0.5),
        "b": [np.inf, float("nan"), -1],
        "c": vi.Status.CONVERGED,
        1: None,
        "d": np.bool_(True),
    }
    value |= {"e": np.arange(2), "f": Path("x")}
    assert plain(value) == {
        "a": 0.5,
        "b": [None, None, -1],
        "c": "CONVERGED",
        "1": None,
        "d": True,
        "e": [0, 1],
        "f": "x",
    }
    json.dumps(plain(value), allow_nan=False)


def test_numbers():
    assert [_number(v, 2) for v in (1.234, -0.001, 1234567.0, np.inf, np.nan)] == [
        "1.23",
        "0.00",
        "1.23e+06",
        "inf",
        "nan",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_narrow_terminal_loses_nothing(width):
    row = {
        "ELBO (nats)": "-2419.03",
        "D(q‖p) (nats)": "0.001",
        "sd ratio (q / p)": "0.98 to 1.00",
        "verdict": "not to be trusted",
    }
    table = pd.DataFrame([row], index=pd.Index(["mean-field, forward KL"], name="method"))
    console = Console(width=width, file=io.StringIO())
    console.print(rich_table(table.T))
    text = console.file.getvalue()
    assert "…" not in text
    for word in " ".join([*row.values(), "mean-field, forward KL"]).split():
        assert word in text
