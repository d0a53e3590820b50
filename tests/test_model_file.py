"""A user's own model and table: what is found, what goes where, and what is said when it does not."""

import numpy as np
import pandas as pd
import pytest

from vi_toolkit.model_file import InputError, load_model, make_target, match_arguments, read_table

MODEL = """
import numpyro
import numpyro.distributions as dist

def model(X, y=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0).expand([X.shape[1]]).to_event(1))
    numpyro.sample("y", dist.Normal(X @ slope, 1.0), obs=y)

def broken(y=None):
    return undefined_name
"""


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(MODEL)
    return path


@pytest.fixture
def table():
    return pd.DataFrame(
        {"age": [1.0, 2.0, 3.0], "group": [0, 1, 1], "name": ["a", "b", "c"], "outcome": [1.0, 0.5, 2.0]}
    )


def test_a_model_is_found_in_a_file_and_in_a_module(model_file, monkeypatch):
    assert load_model(f"{model_file}:model").__name__ == "model"
    monkeypatch.chdir(model_file.parent)
    assert load_model("own.py:model").__name__ == "model"
    assert load_model("own:model").__name__ == "model"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{file}", "expected FILE.py:FUNCTION or MODULE:FUNCTION"),
        ("{file}:modle", "has no function 'modle'. Did you mean 'model'?"),
        ("{file}:zzz", "There is model, broken."),
        ("{folder}/none.py:model", "there is no file"),
        ("no_such_module:model", "there is no module 'no_such_module'"),
        ("{folder}/syntax.py:model", "syntax.py could not be loaded: line 1: SyntaxError"),
        ("{folder}/fails.py:model", "fails.py could not be loaded: line 2: ZeroDivisionError: division by zero"),
        ("{folder}/missing.py:model", "line 1: ModuleNotFoundError: No module named 'not_there'"),
    ],
)
def test_a_model_that_is_not_found(model_file, name, message):
    folder = model_file.parent
    (folder / "syntax.py").write_text("def model(:\n")
    (folder / "fails.py").write_text("x = 1\nx / 0\n")
    (folder / "missing.py").write_text("import not_there\n")
    with pytest.raises(InputError) as error:
        load_model(name.format(file=model_file, folder=folder))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a,b\n", "no rows"),
        (b"a,b\n1,2,3\n4,5\n6,7,8,9\n", "could not be read as CSV"),
        (b"\xff\xfe\x00a\n", "could not be read as CSV"),
    ],
)
def test_a_table_that_cannot_be_read(tmp_path, content, message):
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_table(path)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_table(tmp_path)


def test_names_are_stripped_of_blanks(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a , b\n1, 2\n")
    assert list(read_table(path).columns) == ["a", "b"]


def test_columns_go_to_the_arguments_of_their_names(table):
    data = match_arguments(lambda age, group, outcome=None: None, table, "outcome")
    assert set(data.arguments) == {"age", "group", "outcome"}
    np.testing.assert_array_equal(data.arguments["age"], [1.0, 2.0, 3.0])
    assert data.arguments["group"].dtype.kind == "i"  # it can serve as an index
    assert data.unused == ("name",)


def test_the_columns_that_are_left_make_the_matrix(table):
    data = match_arguments(lambda X, group, y=None: None, table, "outcome")
    assert data.predictors == ("age",)
    np.testing.assert_array_equal(data.arguments["X"], [[1.0], [2.0], [3.0]])
    np.testing.assert_array_equal(data.arguments["y"], table["outcome"])
    assert data.unused == ("name",)


@pytest.mark.parametrize(
    ("model", "response", "message"),
    [
        (lambda X, y=None: None, "outcom", "there is no column 'outcom'. Did you mean 'outcome'?"),
        (lambda X: None, "outcome", "no argument 'outcome' for the response, nor 'y'; it has X"),
        (lambda age, weight, y=None: None, "outcome", "its argument 'weight' gets no value"),
        (lambda name, y=None: None, "outcome", "column 'name' is not numeric: row 1 holds 'a'"),
    ],
)
def test_a_table_that_does_not_fit(table, model, response, message):
    with pytest.raises(InputError) as error:
        match_arguments(model, table, response)
    assert message in str(error.value)


def test_gaps_are_named(table):
    table.loc[1, "age"] = np.nan
    with pytest.raises(InputError, match=r"column 'age': row 2 is empty\. Drop or impute"):
        match_arguments(lambda age, y=None: None, table, "outcome")


def test_what_a_model_does_wrong_is_told_with_its_line(model_file):
    with pytest.raises(InputError, match="line 10: NameError: name 'undefined_name' is not defined"):
        make_target(load_model(f"{model_file}:broken"), {"y": np.ones(3)})
