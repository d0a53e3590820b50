"""Runs the demonstration: fits, compares, draws, and writes a folder."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
from rich.console import Console

from vi_toolkit._checks import check_key
from vi_toolkit._types import Key
from vi_toolkit.compare import Comparison, compare
from vi_toolkit.demo.problems import Problem, Sizes, diabetes, eight_schools, two_modes
from vi_toolkit.plots import plot_comparison, plot_fit
from vi_toolkit.tables import LEGEND, diagnosis_data, evidence_line, markdown, overview, plain, rich_table
from vi_toolkit.tree import exact_to_datatree, to_datatree, versions

PROBLEMS = (diabetes, eight_schools, two_modes)


@dataclass(frozen=True, eq=False)
class Section:
    """What came out for one posterior.

    Example:
        >>> from vi_toolkit.demo import Section
        >>> list(Section.__dataclass_fields__)
        ['problem', 'comparison', 'figures', 'trees', 'seconds']
    """

    problem: Problem
    comparison: Comparison
    figures: tuple[str, ...]  # file names in the demonstration's folder
    trees: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Demo:
    """The whole demonstration.

    Example:
        >>> from vi_toolkit.demo import Demo
        >>> list(Demo.__dataclass_fields__)
        ['folder', 'sections', 'seconds']
    """

    folder: Path
    sections: tuple[Section, ...]
    seconds: float

    def data(self) -> dict[str, Any]:
        """Everything as plain data; what ``summary.json`` holds."""
        return {
            "folder": str(self.folder),
            "seconds": round(self.seconds, 2),
            "precision": "float64" if jax.config.read("jax_enable_x64") else "float32",
            "versions": versions(),
            "problems": {section.problem.name: _section_data(section) for section in self.sections},
        }


def run(key: Key, folder: Path, *, console: Console | None = None, sizes: Sizes | None = None) -> Demo:
    """Fits three known posteriors by several methods, and writes figures, trees and a summary.

    1. Diabetes: a regression on 442 patients whose posterior is known in closed form (scikit-learn's bundled data).
    2. Eight schools: a hierarchical model in NumPyro, held against a long run of NUTS.
    3. Two modes: a mixture of two normals, where reverse and forward KL part.

    Args:
        key: a JAX random key.
        folder: where the files go; made if need be.
        console: where to show each table as it is ready; nothing is shown by default.
        sizes: how much to compute.

    Returns:
        The comparisons, and the names of the files written into ``folder``: ``summary.md``, ``summary.json``, for each
        problem two figures (.png), and an ArviZ tree (.nc) of the exact posterior and of every fit.

    Raises:
        ImportError: if scikit-learn, which brings the diabetes data, is not installed.
        OSError: if the folder cannot be written.

    Example:
        >>> import jax, pathlib
        >>> from vi_toolkit import demo
        >>> result = demo.run(jax.random.key(0), pathlib.Path("vi-toolkit-demo"))  # doctest: +SKIP
        >>> [problem.__name__ for problem in demo.PROBLEMS]
        ['diabetes', 'eight_schools', 'two_modes']
    """
    check_key(key)
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    sizes, console = sizes or Sizes(), console or Console(quiet=True)
    sections = []
    console.print(LEGEND, markup=False, highlight=False)
    for number, make in enumerate(PROBLEMS):
        key_problem, key_section = jax.random.split(jax.random.fold_in(key, number))
        with console.status(f"{number + 1} of {len(PROBLEMS)}: {make.__name__.replace('_', ' ')}"):
            section = _section(key_section, folder, make(key_problem, sizes), sizes, time.perf_counter())
        _show(console, section)
        sections.append(section)
    demo = Demo(folder, tuple(sections), time.perf_counter() - began)
    (folder / "summary.json").write_text(json.dumps(demo.data(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "summary.md").write_text(_summary(demo), encoding="utf-8")
    return demo


def _section(key: Key, folder: Path, problem: Problem, sizes: Sizes, began: float) -> Section:
    """Fits, figures and trees of one problem."""
    key_compare, key_plot, key_tree = jax.random.split(key, 3)
    reference = problem.reference
    amounts: dict[str, Any] = {"max_steps": sizes.max_steps, "num_draws": sizes.num_draws}
    comparison = compare(key_compare, reference.target, problem.methods, reference=reference, **amounts)
    labels: dict[str, Any] = {"coords": problem.coords, "dims": problem.dims}
    named = {
        f"{problem.name}-comparison.png": plot_comparison(key_plot, comparison, **labels),
        f"{problem.name}-fit.png": plot_fit(next(iter(comparison.fits.values()))),
    }
    for name, figure in named.items():
        figure.savefig(folder / name)
        plt.close(figure)
    trees = {
        f"{problem.name}-exact.nc": exact_to_datatree(key_tree, reference, num_draws=sizes.num_tree_draws, **labels)
    }
    for method, fit in comparison.fits.items():
        trees[f"{problem.name}-{method.replace(',', '').replace(' ', '-')}.nc"] = to_datatree(
            key_tree, fit, num_draws=sizes.num_tree_draws, **labels
        )
    for name, tree in trees.items():
        tree.to_netcdf(folder / name, engine="h5netcdf")
    return Section(problem, comparison, tuple(named), tuple(trees), time.perf_counter() - began)


def _show(console: Console, section: Section) -> None:
    """A section's table and verdicts."""
    problem, comparison = section.problem, section.comparison
    console.print(f"\n[bold]{problem.title}[/bold]  [dim]{section.seconds:.0f} s[/dim]")
    console.print(problem.question, markup=False, highlight=False)
    console.print(rich_table(overview(comparison).T))
    console.print(evidence_line(comparison), highlight=False)
    for name, diagnosis in comparison.diagnoses.items():
        console.print(f"[bold]{name}[/bold]: {diagnosis.sentence}", highlight=False)


def _summary(demo: Demo) -> str:
    """The demonstration in Markdown, figures by relative link."""
    parts = [
        "# Reverse and forward KL, held against posteriors that are known",
        f"{len(demo.sections)} posteriors in {demo.seconds:.0f} seconds. {LEGEND}",
    ]
    for section in demo.sections:
        problem, comparison = section.problem, section.comparison
        verdicts = [f"- **{name}**: {diagnosis.sentence}" for name, diagnosis in comparison.diagnoses.items()]
        warnings = [f"- *{name}*: {said}" for name, fit in comparison.fits.items() for said in fit.warnings]
        parts += [f"## {problem.title}", problem.question, markdown(overview(comparison)), evidence_line(comparison)]
        parts += ["\n".join(verdicts), "\n".join(warnings)]
        parts += [
            f"![{problem.title}]({section.figures[0]})",
            f"How the first of these fits went:\n\n![fit]({section.figures[1]})",
        ]
        parts += ["ArviZ trees: " + ", ".join(f"[{name}]({name})" for name in section.trees)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section_data(section: Section) -> dict[str, Any]:
    comparison = section.comparison
    return {
        "title": section.problem.title,
        "seconds": round(section.seconds, 2),
        "reference": comparison.reference.how if comparison.reference else None,
        "methods": {name: plain(row) for name, row in comparison.table.to_dict(orient="index").items()},
        "diagnoses": {name: diagnosis_data(diagnosis) for name, diagnosis in comparison.diagnoses.items()},
        "warnings": {name: list(fit.warnings) for name, fit in comparison.fits.items()},
        "figures": list(section.figures),
        "trees": list(section.trees),
    }
