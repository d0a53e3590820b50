"""Results as short tables to read, in Markdown, and as plain data for machines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from vi_toolkit.compare import Comparison
from vi_toolkit.diagnostics import Diagnosis

LEGEND = (
    "q is the fitted guide, p the posterior. Reverse KL makes D(q‖p) small, forward KL makes D(p‖q) small; both "
    "are 0 where q = p. ELBO = log evidence - D(q‖p). Mean error: the largest over the unknowns, in posterior "
    "sds. sd ratio: sd of q over sd of p, smallest to largest; 1 is right. k-hat: below 0.5 is fine, above 0.7 "
    "reweighting cannot mend q."
)
BY_DRAW = frozenset({"draws", "log_weights"})  # of a diagnosis: one number or more for each of thousands of draws


def overview(comparison: Comparison) -> pd.DataFrame:
    """The columns of a comparison's table that a reader needs first, as text, one row a method.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> from vi_toolkit import exact
        >>> from vi_toolkit.compare import compare
        >>> from vi_toolkit.tables import overview
        >>> normal = exact.gaussian_mixture([1.0], [[0.0]], [[[4.0]]])
        >>> methods = {"reverse KL": vi.gradient(vi.FullRankNormal(), vi.ReverseKL())}
        >>> table = overview(compare(jax.random.key(0), normal.target, methods, reference=normal))
        >>> table["D(q‖p) (nats)"].to_list(), table["sd ratio (q / p)"].to_list(), table["verdict"].to_list()
        (['0.000'], ['1.00'], ['good'])
    """
    rows = {name: _row(diagnosis) for name, diagnosis in comparison.diagnoses.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def _row(diagnosis: Diagnosis) -> dict[str, str]:
    row = {"ELBO (nats)": _number(diagnosis.elbo, 2)}
    if diagnosis.reverse_kl is not None:
        row["D(q‖p) (nats)"] = _number(diagnosis.reverse_kl, 3)
    if diagnosis.forward_kl is not None:
        row["D(p‖q) (nats)"] = _number(diagnosis.forward_kl, 3)
    if diagnosis.mean_error is not None:
        row["mean error (sd)"] = _number(diagnosis.mean_error, 2)
    if diagnosis.log_sd_ratios is not None:
        low, high = (f"{ratio:.2f}" for ratio in np.exp([diagnosis.log_sd_ratios.min(), diagnosis.log_sd_ratios.max()]))
        row["sd ratio (q / p)"] = low if low == high else f"{low} to {high}"
    if diagnosis.mode_masses is not None and len(diagnosis.mode_masses) > 1:
        row["mass per mode"] = ", ".join(f"{mass:.2f}" for mass in diagnosis.mode_masses)
    return {**row, "k-hat": _number(diagnosis.khat, 2), "verdict": diagnosis.verdict.value}


def evidence_line(comparison: Comparison) -> str:
    """What the ELBOs are to be held against, and the mass of the modes; empty without a reference.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> from vi_toolkit import exact
        >>> from vi_toolkit.compare import compare
        >>> from vi_toolkit.tables import evidence_line
        >>> normal = exact.gaussian_mixture([1.0], [[0.0]], [[[4.0]]])
        >>> methods = {"reverse KL": vi.gradient(vi.FullRankNormal(), vi.ReverseKL())}
        >>> evidence_line(compare(jax.random.key(0), normal.target, methods, reference=normal))
        'Log evidence: 0.00.'
    """
    first = next(iter(comparison.diagnoses.values()))
    if first.reference_log_evidence is None or first.reference_log_evidence_se is None:
        return ""
    se = first.reference_log_evidence_se
    line = f"Log evidence: {_number(first.reference_log_evidence, 2)}{f' ± {se:.2g}' if se else ''}."
    masses = first.reference_mode_masses
    if masses is not None and len(masses) > 1:
        line += f" Mass of p per mode: {', '.join(f'{mass:.2f}' for mass in masses)}."
    return line


def site_table(tree: Any) -> pd.DataFrame:
    """Mean, sd and the middle 90 % of every scalar of a tree's posterior, as text, in the model's own units.

    Args:
        tree: from `vi.to_datatree`.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> from vi_toolkit.tables import site_table
        >>> from vi_toolkit.tree import to_datatree
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
        >>> list(site_table(to_datatree(jax.random.key(1), vi.fit(jax.random.key(0), target))).columns)
        ['mean', 'sd', '5 %', '95 %']
    """
    rows = {
        name: {column: _number(value, _decimals(moments["sd"])) for column, value in moments.items()}
        for name, moments in site_moments(tree).items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("unknown")


def site_moments(tree: Any) -> dict[str, dict[str, float]]:
    """{scalar: {mean, sd, 5 %, 95 %}} of a tree's posterior.

    Example:
        >>> import numpy as np, xarray as xr
        >>> from vi_toolkit.tables import site_moments
        >>> draws = xr.Dataset({"x": (("chain", "draw"), np.array([[1.0, 2.0, 3.0]]))})
        >>> site_moments(xr.DataTree.from_dict({"posterior": draws}))["x"]["mean"]
        2.0
    """
    found: dict[str, dict[str, float]] = {}
    for name, variable in tree["posterior"].data_vars.items():
        dims = [dim for dim in variable.dims if dim not in ("chain", "draw")]
        scalars = variable.stack(place=dims).transpose("place", ...) if dims else [variable]
        for scalar in scalars:
            place = ", ".join(str(scalar[dim].item()) for dim in dims)
            values = np.asarray(scalar.values, np.float64).ravel()
            low, high = np.quantile(values, [0.05, 0.95])
            moments = {
                "mean": values.mean(),
                "sd": values.std(ddof=1) if len(values) > 1 else 0.0,
                "5 %": low,
                "95 %": high,
            }
            found[f"{name}[{place}]" if dims else str(name)] = {key: float(value) for key, value in moments.items()}
    return found


def markdown(table: pd.DataFrame) -> str:
    """A table of text in Markdown, its index as the first column.

    Example:
        >>> import pandas as pd
        >>> from vi_toolkit.tables import markdown
        >>> print(markdown(pd.DataFrame({"mean": ["1.0"]}, index=pd.Index(["a"], name="unknown"))))
        | unknown | mean |
        |---|---|
        | a | 1.0 |
    """
    head = [str(table.index.name or ""), *map(str, table.columns)]
    body = [[str(index), *map(str, row)] for index, row in zip(table.index, table.to_numpy(), strict=True)]
    lines = [head, ["---"] * len(head), *body]
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join(row.replace(" ", "") if i == 1 else row for i, row in enumerate(rows))


def rich_table(table: pd.DataFrame) -> Table:
    """A table of text for a terminal, numbers to the right.

    Example:
        >>> import pandas as pd
        >>> from vi_toolkit.tables import rich_table
        >>> len(rich_table(pd.DataFrame({"mean": ["1.0"]}, index=["a"])).columns)
        2
    """
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    shown.add_column(str(table.index.name or ""), min_width=8)
    for name, cells in table.items():
        has_spaces = any(" " in str(cell) for cell in cells)  # these wrap where room is short
        shown.add_column(
            escape(str(name).replace(" (", "\n(").replace(", ", ",\n")), justify="right", no_wrap=not has_spaces
        )
    for index, row in zip(table.index, table.to_numpy(), strict=True):
        shown.add_row(escape(str(index)), *(escape(str(cell)) for cell in row))
    return shown


def plain(value: Any) -> Any:
    """A value as JSON has it: arrays as lists, records by their fields, enums by name; NaN and infinity as None.

    Fields that a record does not show when it is printed, such as draws, are left out.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit.tables import plain
        >>> plain({"a": np.array([1.0, np.nan]), "b": (np.int64(2), "x")})
        {'a': [1.0, None], 'b': [2, 'x']}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value) if field.repr}
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return plain(value.item())
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value if value is None else str(getattr(value, "name", value))


def diagnosis_data(diagnosis: Diagnosis) -> dict[str, Any]:
    """A diagnosis as plain data, under the names of its attributes; without its draws and their weights.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> from vi_toolkit.diagnostics import diagnose
        >>> from vi_toolkit.tables import diagnosis_data
        >>> fit = vi.fit(jax.random.key(0), vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2))
        >>> diagnosis_data(diagnose(jax.random.key(1), fit))["verdict"]
        'GOOD'
    """
    known = {name: value for name, value in vars(diagnosis).items() if value is not None and name not in BY_DRAW}
    return {name: plain(value) for name, value in known.items()}


def _number(value: float, decimals: int) -> str:
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1e6:
        return f"{value:.3g}"
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def _decimals(sd: float) -> int:
    """Decimals that show two digits of the sd."""
    return int(np.clip(1 - math.floor(math.log10(sd)), 0, 6)) if sd > 0 and math.isfinite(sd) else 3
