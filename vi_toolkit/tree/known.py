"""What a diagnosis knows about a fit, kept in the fit's tree and read back from it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from vi_toolkit.diagnostics import Diagnosis
from vi_toolkit.tree._records import pack, unpack

if TYPE_CHECKING:
    import xarray as xr

RECORD = "record"


def group_of_diagnosis(diagnosis: Diagnosis) -> xr.DataTree:
    """The group ``diagnosis`` of a tree: its arrays as variables, the rest as JSON, the verdicts also as attributes."""
    import xarray as xr

    arrays: dict[str, np.ndarray] = {}
    record = json.dumps(pack(diagnosis, arrays, ""))
    variables: dict[str, Any] = {
        name: ([f"{name}_dim_{axis}" for axis in range(array.ndim)], array) for name, array in arrays.items()
    }
    variables[RECORD] = ((), record)
    attributes = {
        "verdict": diagnosis.verdict.name,
        "sentence": diagnosis.sentence,
        "verdicts": json.dumps({name: verdict.name for name, verdict in diagnosis.verdicts.items()}),
        "reasons": json.dumps(diagnosis.reasons),
        "advice": json.dumps(diagnosis.advice),
    }
    return xr.DataTree(xr.Dataset(variables, attrs=attributes))


def diagnosis_of_tree(tree: Any) -> Diagnosis | None:
    """The diagnosis that a tree was made with; None where there was none.

    Arrays of more than a million numbers, such as draws in many dimensions, are empty: a tree has draws of its own.

    Args:
        tree: from `vi.to_datatree`, or read back from its file.

    Raises:
        ValueError: if it was written by a version whose records are not known here.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> from vi_toolkit.tree import diagnosis_of_tree
        >>> fit = vi.fit(jax.random.key(0), vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2))
        >>> diagnosis = vi.diagnose(jax.random.key(1), fit)
        >>> diagnosis_of_tree(vi.to_datatree(jax.random.key(2), fit, diagnosis=diagnosis)).verdict.name
        'GOOD'
    """
    if "diagnosis" not in tree.children:
        return None
    group = tree["diagnosis"]
    arrays = {str(name): np.asarray(values.values) for name, values in group.data_vars.items()}
    try:
        found = unpack(json.loads(str(group[RECORD].item())), arrays)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"tree: its group 'diagnosis' cannot be read by this version: {error}. Diagnose the fit again."
        ) from error
    if not isinstance(found, Diagnosis):
        raise ValueError(f"tree: its group 'diagnosis' holds a {type(found).__name__}. Diagnose the fit again.")
    return found
