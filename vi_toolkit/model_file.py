"""A user's own model and table: the model found by name, the table's columns handed to the model's arguments."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from vi_toolkit.targets import Target, from_numpyro

MATRIX = "X"  # the argument that takes the columns which no other argument asks for by name
RESPONSE = "y"  # the argument that takes the response where none has its column's name


class InputError(ValueError):
    """Something that the user gave is wrong: the message is one line and says what to do.

    Example:
        >>> from vi_toolkit.model_file import InputError
        >>> str(InputError("data: no such file"))
        'data: no such file'
    """


class ModelData(NamedTuple):
    """The arguments of a model that come from a table."""

    arguments: dict[str, np.ndarray]
    predictors: tuple[str, ...]  # the columns of X, in order
    unused: tuple[str, ...]  # columns that went nowhere


def load_model(name: str) -> Callable[..., Any]:
    """Finds a model by name: ``path/to/file.py:function`` or ``package.module:function``.

    Modules are looked for in the working directory too, and a file's own imports in the file's folder.

    Raises:
        InputError: if there is no such file, module or function, or it cannot be run.

    Example:
        >>> from vi_toolkit.model_file import load_model
        >>> load_model("math:sqrt")(4.0)
        2.0
    """
    place, colon, function = name.rpartition(":")
    if not (place and colon and function):
        raise InputError(f"model: expected FILE.py:FUNCTION or MODULE:FUNCTION, got {name!r}.")
    is_file = place.endswith(".py") or "/" in place or "\\" in place
    module = _load_file(Path(place).expanduser()) if is_file else _load_module(place)
    model = getattr(module, function, None)
    if callable(model):
        return model
    own = [n for n, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == module.__name__]
    raise InputError(f"model: {place} has no function {function!r}.{_suggest(function, own)}")


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"model: there is no file {path}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"model: {path} is not a Python file: its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # data classes look their module up
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(f"model: {path} could not be loaded: {explain(error, path)}") from error
    return module


def _load_module(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise InputError(f"model: {name} could not be loaded: {explain(error)}") from error
        raise InputError(
            f"model: there is no module {name!r}. For a file, write its path: path/to/file.py:function."
        ) from None
    except (Exception, SystemExit) as error:
        raise InputError(f"model: {name} could not be loaded: {explain(error)}") from error


def explain(error: BaseException, path: Path | None = None) -> str:
    """An error in one line: the place in the user's own code, where there is one, the kind, and what it says.

    Example:
        >>> from vi_toolkit.model_file import explain
        >>> explain(NameError("name 'x' is not defined"))
        "NameError: name 'x' is not defined"
    """
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if path is not None and Path(frame.filename) in (path, path.resolve())]
    text = " ".join(str(error).split())
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"line {own[-1].lineno}: {what}" if own else what


def read_table(path: Path) -> pd.DataFrame:
    r"""Reads a CSV file whose first line names the columns.

    Raises:
        InputError: if it cannot be read, or has no rows.

    Example:
        >>> import pathlib, tempfile
        >>> from vi_toolkit.model_file import read_table
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "data.csv"
        ...     _ = path.write_text("x,y\n1,2\n")
        ...     list(read_table(path).columns)
        ['x', 'y']
    """
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except FileNotFoundError:
        raise InputError(f"data: there is no file {path}.") from None
    except IsADirectoryError:
        raise InputError(f"data: {path} is a folder; expected a CSV file.") from None
    except pd.errors.EmptyDataError:
        raise InputError(f"data: {path} is empty; expected a line of column names and at least one row.") from None
    except (UnicodeDecodeError, pd.errors.ParserError) as error:
        raise InputError(f"data: {path} could not be read as CSV: {explain(error)}") from None
    except OSError as error:
        raise InputError(f"data: {path} could not be read: {error.strerror or error}.") from None
    if table.empty:
        raise InputError(f"data: {path} has column names but no rows.")
    table.columns = table.columns.str.strip()
    return table


def match_arguments(model: Callable[..., Any], table: pd.DataFrame, response: str) -> ModelData:
    """Hands the columns of a table to the arguments of a model.

    A column goes to the argument of its name. The response goes to the argument of its own name, or else to ``y``.
    Where the model has an argument ``X``, the numeric columns that are left become its columns, in the table's order.

    Args:
        model: a NumPyro model.
        table: the data, one row an observation.
        response: the column that is observed.

    Raises:
        InputError: if a column is missing, not numeric or has gaps, or an argument of the model gets no value.

    Example:
        >>> import pandas as pd
        >>> from vi_toolkit.model_file import match_arguments
        >>> table = pd.DataFrame({"age": [1.0, 2.0], "dose": [0.0, 1.0], "outcome": [3.0, 4.0]})
        >>> data = match_arguments(lambda X, y=None: None, table, "outcome")
        >>> data.predictors, data.arguments["y"]
        (('age', 'dose'), array([3., 4.]))
    """
    if response not in table.columns:
        raise InputError(f"response: there is no column {response!r}.{_suggest(response, table.columns)}")
    try:
        parameters = inspect.signature(model).parameters
    except (TypeError, ValueError):
        raise InputError("model: its arguments cannot be found out; wrap it in a function of your own.") from None
    named = [n for n, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY)]
    own = next((name for name in (response, RESPONSE) if name in named), None)
    if own is None:
        raise InputError(
            f"model: it has no argument {response!r} for the response, nor {RESPONSE!r}; it has {_listed(named)}."
        )
    by_name = [name for name in named if name in table.columns and name not in (own, response)]
    arguments = {name: _numbers(table, name) for name in by_name} | {own: _numbers(table, response)}
    rest = [name for name in table.columns if name not in (*by_name, response)]
    predictors: list[str] = []
    if MATRIX in named and MATRIX not in arguments:
        predictors = [name for name in rest if _is_numeric(table[name])]
        if predictors:
            arguments[MATRIX] = np.column_stack([_numbers(table, name) for name in predictors])
    missing = [n for n in named if n not in arguments and parameters[n].default is inspect.Parameter.empty]
    if missing:
        raise InputError(
            f"model: its argument {missing[0]!r} gets no value: the table has no such column among "
            f"{_listed(table.columns)}. Add the column, or give the argument a default."
        )
    return ModelData(arguments, tuple(predictors), tuple(name for name in rest if name not in predictors))


def make_target(model: Callable[..., Any], arguments: dict[str, np.ndarray]) -> Target:
    """A target of the model, with whatever goes wrong inside the user's own code told in one line.

    Raises:
        InputError: if the model cannot be traced, or does not fit the data.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> from vi_toolkit.model_file import make_target
        >>> make_target(lambda: numpyro.sample("x", dist.Normal(0.0, 1.0)), {}).dim
        1
    """
    try:
        return from_numpyro(model, **arguments)
    except Exception as error:
        source = inspect.getsourcefile(inspect.unwrap(model)) if inspect.isfunction(model) else None
        raise InputError(f"model: {explain(error, Path(source) if source else None)}") from error


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)


def _numbers(table: pd.DataFrame, name: str) -> np.ndarray:
    """A column as an array; whole numbers stay whole, so that they can serve as indices."""
    column = table[name]
    if not _is_numeric(column):
        as_numbers = pd.to_numeric(column, errors="coerce")
        row = int(np.argmax((as_numbers.isna() & column.notna()).to_numpy()))
        raise InputError(
            f"data: column {name!r} is not numeric: row {row + 1} holds {column.iloc[row]!r}. "
            "Code categories as numbers."
        )
    values = column.to_numpy(dtype=float) if column.dtype.kind == "f" else column.to_numpy()
    bad = np.flatnonzero(~np.isfinite(values.astype(float)))
    if len(bad):
        held = "is empty" if np.isnan(values[bad[0]]) else f"holds {values[bad[0]]}"
        more = f" ({len(bad)} such rows)" if len(bad) > 1 else ""
        raise InputError(f"data: column {name!r}: row {bad[0] + 1} {held}{more}. Drop or impute these rows.")
    return values


def _suggest(name: str, candidates: Iterable[str]) -> str:
    candidates = [str(candidate) for candidate in candidates]
    near = difflib.get_close_matches(name, candidates, n=1)
    return f" Did you mean {near[0]!r}?" if near else f" There is {_listed(candidates)}."


def _listed(names: Iterable[str], most: int = 12) -> str:
    names = [str(name) for name in names]
    shown = ", ".join(names[:most]) or "nothing"
    return f"{shown}, and {len(names) - most} more" if len(names) > most else shown
