"""The command line: parses, calls, prints."""

from __future__ import annotations

import contextlib
import enum
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import matplotlib
import typer
from rich.console import Console

from vi_toolkit import demo as demonstration, model_fit, runtime
from vi_toolkit.algorithms import gradient
from vi_toolkit.guides import FullRankNormal, Guide, LowRankNormal, MeanFieldNormal, NormalMixture, StudentT
from vi_toolkit.model_file import InputError
from vi_toolkit.objectives import ForwardKL, Objective, ReverseKL
from vi_toolkit.tables import rich_table
from vi_toolkit.tree import versions
from vi_toolkit.windows import Status

BAD_INPUT, INTERRUPTED = 2, 130

GUIDES: dict[str, Callable[[int], Guide]] = {
    "full-rank": lambda dim: FullRankNormal(),
    "mean-field": lambda dim: MeanFieldNormal(),
    "low-rank": lambda dim: LowRankNormal(rank=min(5, dim)),
    "mixture": lambda dim: NormalMixture(2),
    "student-t": lambda dim: StudentT(),
}
OBJECTIVES: dict[str, Callable[[], Objective]] = {"reverse-kl": ReverseKL, "forward-kl": ForwardKL}

GUIDE_HELP = f"The family: {', '.join(GUIDES)}. low-rank has rank 5, mixture two components."
OBJECTIVE_HELP = f"What is minimised: {', '.join(OBJECTIVES)}."

GuideName = enum.StrEnum("GuideName", {name: name for name in GUIDES})  # type: ignore[misc]
ObjectiveName = enum.StrEnum("ObjectiveName", {name: name for name in OBJECTIVES})  # type: ignore[misc]
FULL_RANK, REVERSE_KL = GuideName("full-rank"), ObjectiveName("reverse-kl")

app = typer.Typer(
    name="vi-toolkit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Variational inference by reverse or forward KL, held against exact posteriors.",
)

Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same numbers.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Float32 = Annotated[bool, typer.Option("--float32", help="Single precision; by default double.")]


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    """Variational inference by reverse or forward KL, held against exact posteriors."""
    if version:
        print(f"vi-toolkit {versions()['vi-toolkit']}")
        raise typer.Exit


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="The folder to write.")] = Path("vi-toolkit-demo"),
    seed: Seed = 0,
    as_json: AsJson = False,
    float32: Float32 = False,
) -> None:
    """Fit three posteriors that are known, both ways, and compare: about a minute."""
    _begin(output, float32)
    console = Console(quiet=as_json)
    result = demonstration.run(jax.random.key(seed), output, console=console)
    if as_json:
        _print_json(result.data())
    console.print(
        f"\n{result.seconds:.0f} seconds. Tables, figures and ArviZ trees: {output / 'summary.md'}", soft_wrap=True
    )


@app.command()
def fit(
    model: Annotated[str, typer.Argument(help="path/to/file.py:function or package.module:function")],
    data: Annotated[Path, typer.Option(help="A CSV file whose first line names the columns.")],
    response: Annotated[str, typer.Option(help="The column that is observed.")],
    guide: Annotated[GuideName, typer.Option(metavar="NAME", help=GUIDE_HELP)] = FULL_RANK,
    objective: Annotated[ObjectiveName, typer.Option(metavar="NAME", help=OBJECTIVE_HELP)] = REVERSE_KL,
    seed: Seed = 0,
    max_steps: Annotated[int | None, typer.Option(min=1, help="An upper bound; a fit ends by itself.")] = None,
    output: Annotated[Path, typer.Option(help="The folder to write.")] = Path("vi-toolkit-fit"),
    as_json: AsJson = False,
    progress: Annotated[bool | None, typer.Option(help="A progress line; by default in a terminal.")] = None,
    float32: Float32 = False,
) -> None:
    """Fit a NumPyro model of your own to a CSV file.

    Columns go to the model's arguments of the same name, the response to the argument of its name or else y. \
If the model has an argument X, the numeric columns that are left are its columns, and a plate called predictor \
gets their names.

    Example: vi-toolkit fit examples/user_model.py:model --data examples/data/diabetes.csv --response progression
    """
    _begin(output, float32)
    console = Console(quiet=as_json)
    asked = {
        "model": model,
        "data": str(data),
        "response": response,
        "guide": guide.value,
        "objective": objective.value,
    }
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():  # a model may print
        target, model_data = model_fit.prepare(model, data, response)
        result = model_fit.fit_model(
            jax.random.key(seed),
            target,
            gradient(GUIDES[guide.value](target.dim), OBJECTIVES[objective.value]()),
            folder=output,
            model_data=model_data,
            description=asked,
            max_steps=max_steps,
            progress=not as_json and (console.is_terminal if progress is None else progress),
        )
    if as_json:
        _print_json(result.data())
    _show(console, result)
    if result.fit.status is Status.INTERRUPTED:
        raise typer.Exit(INTERRUPTED)


@app.command()
def report(
    tree: Annotated[Path, typer.Argument(help="The posterior.nc of a fit, or any tree of vi.to_datatree.")],
    output: Annotated[
        Path | None, typer.Option(help="The page; by default beside the tree, its name in .html.")
    ] = None,
) -> None:
    """Write one self-contained HTML page about a fit that was saved: the verdict, tables and figures.

    Example: vi-toolkit report vi-toolkit-fit/posterior.nc
    """
    matplotlib.use("Agg")
    page = model_fit.report_of_saved(tree, tree.with_suffix(".html") if output is None else output)
    Console().print(f"{page}", markup=False, highlight=False, soft_wrap=True)


def _show(console: Console, result: model_fit.ModelFit) -> None:
    fitted, model_data = result.fit, result.model_data
    if model_data.predictors:
        console.print(f"X: {', '.join(model_data.predictors)}", markup=False, highlight=False)
    if model_data.unused:
        console.print(f"Not used: {', '.join(model_data.unused)}", markup=False, highlight=False)
    console.print(rich_table(result.sites))
    console.print(
        f"{fitted.status.name} after {fitted.num_steps:,} steps, {result.seconds:.1f} seconds: {fitted.status.value}.",
        highlight=False,
    )
    console.print(str(result.diagnosis), markup=False, highlight=False)
    console.print(
        f"\nFit, ArviZ tree, figure and summary: {result.folder / 'summary.md'}", soft_wrap=True, highlight=False
    )


def _begin(output: Path, float32: bool) -> None:
    matplotlib.use("Agg")
    runtime.configure(float32=float32)
    model_fit.check_folder(output)


def _print_json(data: dict[str, Any]) -> None:
    print(json.dumps(data, ensure_ascii=False, allow_nan=False))


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and leaves with its exit code: 0, 2 for bad input, 130 when interrupted.

    Args:
        arguments: those of the process by default.

    Example:
        >>> from vi_toolkit.cli import main
        >>> main(["fit", "nowhere.py:model", "--data", "data.csv", "--response", "y", "--guide", "cubist"])
        Traceback (most recent call last):
        SystemExit: 2
    """
    command = typer.main.get_command(app)
    try:
        code = command.main(
            None if arguments is None else list(arguments), prog_name="vi-toolkit", standalone_mode=False
        )
    except typer.TyperException as error:
        _fail(error.format_message().replace("Value error, ", ""), BAD_INPUT)
    except InputError as error:
        _fail(str(error), BAD_INPUT)
    except ImportError as error:
        _fail(f"{error}. The demonstration's data come with scikit-learn: pip install 'vi-toolkit[data]'", BAD_INPUT)
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}", BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted before there was anything to keep", INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    if message:  # none where the help has been printed instead
        print(f"vi-toolkit: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
