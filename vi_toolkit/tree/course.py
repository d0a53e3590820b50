"""How a fit went and how it came about: from the fit itself, or from the tree that it was saved in."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from vi_toolkit.fit import Fit
from vi_toolkit.tree._source import name_of_model, source_of_model
from vi_toolkit.tree._versions import versions
from vi_toolkit.windows import WINDOW_ARRAYS, Status

if TYPE_CHECKING:
    import xarray as xr


class Course(NamedTuple):
    """What a fit left behind beside its approximation.

    Attributes:
        history: arrays over steps and over windows, as in `vi.Fit`.
        status: how it ended.
        num_steps: steps taken.
        num_gradients: log-density gradients spent.
        warnings: what speaks against the fit, in words.
        dim: unconstrained coordinates of the target.
        log_evidence: log Z of the target where it is known, else None.
        distances: (name in the history, words) of what the fit ended by.
        ends_itself: whether the method knows its own end.
        method: the method in one line.
        model: the model's name, "" where it has none.
        source: the model's source, "" where it cannot be read.
        key: the words of the random key, and their kind.
        precision: "float64" or "float32".
        versions: {package: version}.

    Example:
        >>> from vi_toolkit.tree.course import Course
        >>> Course._fields[:2]
        ('history', 'status')
    """

    history: dict[str, np.ndarray]
    status: Status
    num_steps: int
    num_gradients: float
    warnings: tuple[str, ...]
    dim: int
    log_evidence: float | None
    distances: tuple[tuple[str, str], ...]
    ends_itself: bool
    method: str
    model: str
    source: str
    key: tuple[str, tuple[int, ...]]
    precision: str
    versions: dict[str, str]


def course_of_fit(fit: Fit) -> Course:
    """The course of a fit.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> from vi_toolkit.tree.course import course_of_fit
        >>> fit = vi.fit(jax.random.key(7), vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2))
        >>> course_of_fit(fit).key
        ('threefry2x32', (0, 7))
    """
    known = fit.target.log_evidence
    return Course(
        history=fit.history,
        status=fit.status,
        num_steps=fit.num_steps,
        num_gradients=float(fit.num_gradients),
        warnings=fit.warnings,
        dim=fit.target.dim,
        log_evidence=None if known is None else float(known),
        distances=tuple((str(name), str(words)) for name, words in fit.method.distances),
        ends_itself=bool(fit.method.ends_itself),
        method=re.sub(r" at 0x[0-9a-f]+", "", repr(fit.method)),  # addresses of functions say nothing
        model=name_of_model(fit.target),
        source=source_of_model(fit.target),
        key=(fit.checkpoint.key_kind, tuple(int(word) for word in np.ravel(fit.checkpoint.key))),
        precision=jnp.result_type(float).name,
        versions=versions(),
    )


def group_of_course(course: Course) -> xr.DataTree:
    """The group ``fit`` of a tree: the history as variables, everything else as attributes."""
    import xarray as xr

    steps = {name: values for name, values in course.history.items() if name not in WINDOW_ARRAYS}
    windows = {name: course.history[name] for name in WINDOW_ARRAYS if name in course.history}
    num_windows = max((len(values) for values in windows.values()), default=0)
    variables = {name: ("step", values) for name, values in steps.items()}
    variables |= {name: ("window", values) for name, values in windows.items()}
    coords = {"step": np.arange(1, course.num_steps + 1), "window": np.arange(1, num_windows + 1)}
    rest = {name: value for name, value in course._asdict().items() if name != "history"}
    return xr.DataTree(xr.Dataset(variables, coords=coords, attrs={n: _attribute(v) for n, v in rest.items()}))


def course_of_tree(tree: Any) -> Course:
    """The course of the fit that a tree was made of.

    Raises:
        ValueError: if the tree has no group ``fit``, or one that another version wrote without what is needed.
    """
    if "fit" not in tree.children:
        raise ValueError(f"tree: expected a group 'fit', as vi.to_datatree writes it, got {sorted(tree.children)}.")
    group = tree["fit"]
    missing = [name for name in Course._fields if name != "history" and name not in group.attrs]
    if missing:
        raise ValueError(
            f"tree: its group 'fit' lacks {missing}: it was written by vi-toolkit "
            f"{json.loads(group.attrs.get('versions', '{}')).get('vi-toolkit', 'of unknown version')}, and this is "
            f"{versions()['vi-toolkit']}. Load the fit itself and write the tree again."
        )
    said = group.attrs
    known = float(said["log_evidence"])
    kind, words = json.loads(said["key"])
    return Course(
        history={str(name): np.asarray(values.values) for name, values in group.data_vars.items()},
        status=Status[said["status"]],
        num_steps=int(said["num_steps"]),
        num_gradients=float(said["num_gradients"]),
        warnings=tuple(json.loads(said["warnings"])),
        dim=int(said["dim"]),
        log_evidence=None if np.isnan(known) else known,
        distances=tuple((name, words) for name, words in json.loads(said["distances"])),
        ends_itself=bool(said["ends_itself"]),
        method=said["method"],
        model=said["model"],
        source=said["source"],
        key=(kind, tuple(words)),
        precision=said["precision"],
        versions=json.loads(said["versions"]),
    )


def _attribute(value: Any) -> Any:
    """What netCDF can hold: text and numbers as they are, NaN for None, an enum by its name, the rest as JSON."""
    if value is None:
        return float("nan")
    if isinstance(value, Status):
        return value.name
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    return value if isinstance(value, (str, int, float)) else json.dumps(value)
