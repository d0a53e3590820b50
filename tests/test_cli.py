"""The command line: what it prints, what it writes, and one clear line for everything that is wrong."""

import html
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from tests.interrupted import interrupt_fits
from vi_toolkit import cli, demo, model_fit, runtime
from vi_toolkit.io import load
from vi_toolkit.windows import Status

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

MODEL = """
import numpyro
import numpyro.distributions as dist

print("a model may print")

def model(x, y=None):
    level = numpyro.sample("level", dist.Normal(0.0, 10.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 10.0))
    numpyro.sample("y", dist.Normal(level + slope * x, 1.0), obs=y)

def discrete(x, y=None):
    numpyro.sample("k", dist.Poisson(3.0))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=y)

def raises(x, y=None):
    raise RuntimeError("no such luck")
"""


@pytest.fixture(autouse=True)
def process_stays_as_it_is(monkeypatch):
    """The tests have settled precision and cache for their own process."""
    monkeypatch.setattr(runtime, "configure", lambda **settings: None)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a model and a table: y = 1 + 2 x + noise."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    rows = np.column_stack([x, 1 + 2 * x + rng.normal(size=200)])
    np.savetxt("data.csv", rows, delimiter=",", header="x,y", comments="")
    Path("own.py").write_text(MODEL)
    return tmp_path


def run(capsys, *arguments):
    """Runs the command: (exit code, stdout, stderr)."""
    with pytest.raises(SystemExit) as left:
        cli.main([str(argument) for argument in arguments])
    return left.value.code, *capsys.readouterr()


FIT = ("fit", "own.py:model", "--data", "data.csv", "--response", "y")


def test_fit_writes_and_prints(folder, capsys):
    code, out, err = run(capsys, *FIT, "--output", "out")
    assert (code, err) == (0, "")
    assert "CONVERGED" in out
    assert "Good: k-hat" in " ".join(out.split())
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(
        ["fit.npz", "posterior.nc", "fit.png", "summary.md", "summary.json"]
    )
    tree = xr.open_datatree("out/posterior.nc", engine="h5netcdf")
    data = np.loadtxt("data.csv", delimiter=",", skiprows=1)
    slope, level = np.polyfit(data[:, 0], data[:, 1], 1)
    assert float(tree["posterior"]["slope"].mean()) == pytest.approx(
        slope, abs=0.02
    )  # the prior is wide: least squares
    assert float(tree["posterior"]["level"].mean()) == pytest.approx(level, abs=0.02)
    target, _ = model_fit.prepare("own.py:model", Path("data.csv"), "y")
    assert load("out/fit.npz", target).status is Status.CONVERGED
    assert "![the course of the fit](fit.png)" in Path("out/summary.md").read_text()


def test_json_is_one_object_and_nothing_else(folder, capsys):
    code, out, err = run(capsys, *FIT, "--json", "--guide", "mean-field", "--max-steps", 50)
    data = json.loads(out)
    assert code == 0
    assert "a model may print" in err
    assert (data["status"], data["num_steps"], data["guide"]) == ("MAX_STEPS", 50, "mean-field")
    assert data == json.loads(Path("vi-toolkit-fit/summary.json").read_text())
    assert set(data["sites"]) == {"level", "slope"}
    assert data["warnings"] != []


def test_report_makes_a_page_of_a_saved_fit(folder, capsys):
    run(capsys, *FIT, "--output", "out", "--guide", "mean-field", "--max-steps", 50)
    sentence = json.loads(Path("out/summary.json").read_text())["diagnosis"]["sentence"]
    assert run(capsys, "report", "out/posterior.nc") == (0, "out/posterior.html\n", "")
    page = Path("out/posterior.html").read_text()
    assert html.escape(sentence) in page
    assert "MAX_STEPS after 50 steps" in page
    assert "def model(x, y=None):" in page
    assert page.count("data:image/png;base64,") >= 4
    runner = CliRunner()
    assert runner.invoke(cli.app, ["report", "out/posterior.nc", "--output", "other.html"]).exit_code == 0
    assert Path("other.html").read_text() == page


def test_the_summary_holds_no_draws(folder, capsys):
    run(capsys, *FIT, "--output", "out", "--guide", "mean-field", "--max-steps", 50)
    assert Path("out/summary.json").stat().st_size < 50_000


@pytest.mark.parametrize("guide", list(cli.GUIDES))
def test_every_guide_has_a_name(folder, guide):
    result = cli.GUIDES[guide](2)
    assert type(result).__name__.lower().startswith(guide.replace("-", "")[:5].replace("mixtu", "normalmixture")[:6])


def test_the_same_seed_gives_the_same_numbers(folder, capsys):
    first, second, other = (
        json.loads(run(capsys, *FIT, "--json", "--max-steps", 20, "--seed", seed)[1])["diagnosis"]["elbo"]
        for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


def test_interrupt_keeps_and_says(folder, capsys, monkeypatch):
    interrupt_fits(monkeypatch, call=2)
    code, out, _ = run(capsys, *FIT)
    assert code == 130
    assert "INTERRUPTED" in out
    assert "it was interrupted, and what there was is kept" in " ".join(out.split())
    assert Path("vi-toolkit-fit/fit.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "none.py:model", "--data", "data.csv", "--response", "y"], "model: there is no file none.py."),
        (["fit", "own.py:modle", "--data", "data.csv", "--response", "y"], "Did you mean 'model'?"),
        (["fit", "own.py", "--data", "data.csv", "--response", "y"], "expected FILE.py:FUNCTION"),
        (["fit", "syntax.py:model", "--data", "data.csv", "--response", "y"], "line 1: SyntaxError"),
        (["fit", "own.py:discrete", "--data", "data.csv", "--response", "y"], "'k'"),
        (["fit", "own.py:raises", "--data", "data.csv", "--response", "y"], "RuntimeError: no such luck"),
        (["fit", "own.py:model", "--data", "none.csv", "--response", "y"], "data: there is no file none.csv."),
        (["fit", "own.py:model", "--data", ".", "--response", "y"], "is a folder"),
        (["fit", "own.py:model", "--data", "empty.csv", "--response", "y"], "empty.csv is empty"),
        (
            ["fit", "own.py:model", "--data", "words.csv", "--response", "y"],
            "column 'x' is not numeric: row 1 holds 'a'",
        ),
        (["fit", "own.py:model", "--data", "data.csv", "--response", "z"], "there is no column 'z'"),
        (["fit", "own.py:model", "--data", "data.csv"], "Missing option '--response'"),
        ([*FIT, "--guide", "cubist"], "'cubist' is not one of 'full-rank'"),
        ([*FIT, "--objective", "sideways"], "'sideways' is not one of 'reverse-kl', 'forward-kl'"),
        ([*FIT, "--max-steps", "0"], "--max-steps"),
        ([*FIT, "--seed", "-1"], "--seed"),
        ([*FIT, "--seed", "many"], "--seed"),
        ([*FIT, "--output", "data.csv"], "output: the folder data.csv cannot be written"),
        ([*FIT, "--output", "data.csv/below"], "output: the folder data.csv/below cannot be written"),
        (["demo", "--output", "data.csv"], "output: the folder data.csv cannot be written"),
        (["report", "none.nc"], "tree: there is no file none.nc."),
        (["report", "data.csv"], "tree: data.csv is no file of an ArviZ tree"),
        (["report", "data.csv", "--output"], "--output"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["demo", "--nonsense"], "No such option: --nonsense"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder, capsys, arguments, message):
    Path("syntax.py").write_text("def model(:\n")
    Path("empty.csv").write_text("")
    Path("words.csv").write_text("x,y\na,1\nb,2\n")
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out.replace("a model may print\n", "") == ""
    assert err.count("\n") == 1
    assert err.startswith("vi-toolkit: ")
    assert message in err


def test_a_folder_without_permission(folder, capsys):
    Path("locked").mkdir(mode=0o500)
    if os.access("locked", os.W_OK):
        pytest.skip("this user may write anywhere")
    assert run(capsys, *FIT, "--output", "locked/out")[0] == 2


def test_help_and_version(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert "demo" in out
    assert "fit" in out
    code, out, _ = run(capsys, "fit", "--help")
    assert code == 0
    for word in ("--response", "--guide", "student-t", "forward-kl"):
        assert word in out
    code, out, _ = run(capsys, "--version")
    assert (code, out.split()[0]) == (0, "vi-toolkit")


def test_demo_prints_its_data(tmp_path, capsys, monkeypatch):
    def run_nothing(key, folder, *, console):
        assert console.quiet
        return demo.Demo(folder, (), 1.0)

    monkeypatch.setattr(demo, "run", run_nothing)
    code, out, err = run(capsys, "demo", "--output", tmp_path, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["problems"] == {}


def test_the_installed_command(folder):
    """As a user has it: a process of its own, whose second run compiles nothing."""
    command = [sys.executable, "-m", "vi_toolkit", "fit", str(EXAMPLES / "user_model.py") + ":model"]
    command += ["--data", str(EXAMPLES / "data" / "diabetes.csv"), "--response", "progression", "--json"]
    cache = folder / "cache"
    for seed in ("1", "2"):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "VI_TOOLKIT_CACHE": str(cache),
            "PYTHONPATH": str(EXAMPLES.parent),
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        data = json.loads(done.stdout)
        assert (data["status"], data["precision"], len(data["predictors"])) == ("CONVERGED", "float64", 10)
        kept = {path.name for path in cache.glob("*-cache")}
        assert kept
        first = kept if seed == "1" else first
    assert kept == first
