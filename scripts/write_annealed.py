"""Writes docs/ANNEALED.md and docs/annealed.png: flows on targets of many modes, by annealed chi-square and reverse KL.

It takes some minutes of one core. With --keep FOLDER every finished fit is kept there, and not run again.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import numpyro.distributions as dist
import optax
from matplotlib.lines import Line2D

import vi_toolkit as vi
from vi_toolkit.plots._style import INK, legend_below, looks, style

ROOT = Path(__file__).resolve().parent.parent
NUM_EXACT = 20_000  # draws of p, and of q, that a fit is judged by
NUM_SHOWN = 1_500
REVERSE_STEPS = 2_000
MOST = 2.0  # times the exact mass, in the figure
HEAD = """# Flows on targets of many modes

Written by `make modes`. The same flow, begun at the same wide normal, by two objectives:
`vi.AnnealedChi`, which minimises the chi-square divergence by annealed importance sampling with a memory, and
`vi.ReverseKL`.

![Draws of the fitted flows over the exact densities, and the mass of every mode](annealed.png)

*Above, the mixture of forty normals; below, the many-well in 32 dimensions, of which two coordinates are shown. Dots
are draws of the fitted flow, lines the exact density. On the right, the mass that each fit gives to every mode, divided
by the exact one (2 if more); the modes of the many-well are the left wells of its 16 pairs, then the right.*

| target | objective | forward ESS | reverse ESS | KL(p‖q) | log Z, error | modes | error of mass | evaluations | CPU |
|---|---|---|---|---|---|---|---|---|---|
"""
TAIL = """
- Forward ESS: 1 / (mean of p / q over {num} exact draws of p), with p normalised by the known evidence. It is the
  effective share of draws of q weighted by p / q, and sinks towards zero with every mode that q lacks.
- Reverse ESS: (sum w)^2 / (n sum w^2) over {num} draws of q, w = p~ / q. It does not see modes that q lacks.
- KL(p‖q) in nats, by the same draws of p. The error of log Z is that of the mean weight of the draws of q, in nats.
- Modes, forty normals: of the 40 regions nearest to each mean, those that hold at least half of their exact
  mass; the error is the largest of a region's mass, divided by the exact one. Many-well: of the 2 wells of each of the
  16 pairs, those that hold at least half of their exact mass; the error is the largest of a left well's mass, which is
  {left:.4f}.
- Evaluations: log-density gradients of the target, a bare density counting a third. CPU: seconds of one core.
{settings}

Reverse KL loses half of the forty normals (at Adam's rate of 0.01 its draws ran off, and one was left). On the
many-well it keeps both wells of every pair, since this flow bends each coordinate by itself and begins over both, but
their masses are still wrong when it ends. How far the flow gets on the
forty normals depends on the networks that it begins with, and on chance: two other fits by `vi.AnnealedChi` ended at a
forward ESS of 45 % (3000 steps) and 54 % (4000 steps, at twice the rate), each with all 40 modes.

## Published

For this method: Midgley, Stimper, Simm, Schölkopf & Hernández-Lobato (2023), Flow annealed importance sampling
bootstrap, arXiv:2208.01893. The numbers are of the result files released with it (github.com/lollcat/fab-torch,
`examples/paper_results`), of three seeds each, with flows of affine couplings.

| target | method | forward ESS | reverse ESS |
|---|---|---|---|
| forty normals | with memory | 4.0, 2.9, 0.002 % | 59.6, 68.6, 63.7 % |
| forty normals | without memory | 17.7, 8.9, 9.5 % | 29.2, 9.8, 22.2 % |
| forty normals | maximum likelihood on draws of p | 0.1, 2e-14, 0.06 % | 58.3, 62.1, 52.9 % |
| many-well, 32 dimensions | with memory | not given | 82.5, 75.9, 80.0 % |
| many-well, 32 dimensions | without memory | not given | 5.6, 4.6, 1.9 % |
| many-well, 32 dimensions | reverse KL | not given | 15.5, 79.5, 43.9 % |
"""


@dataclass(frozen=True)
class Problem:
    """A target whose modes are known, a flow for it, and where the flow begins."""

    title: str
    exact: Any
    flow: Any
    scale: float  # of the normal that the flow begins at
    annealed: Any
    rate: float  # of Adam, to begin with
    reverse_rate: float  # for reverse KL, whose draws at the higher rate run off to where there is no mass
    num_draws: int
    max_steps: int  # of the annealed fit; that by reverse KL takes REVERSE_STEPS
    shown: tuple[int, int]  # the coordinates of the picture
    limit: float
    masses: Callable[[np.ndarray], np.ndarray]  # of every mode, from draws


def nearest(centres: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """The share of the draws that lie nearest to each centre."""
    which = ((draws[:, None] - centres) ** 2).sum(-1).argmin(-1)
    return np.bincount(which, minlength=len(centres)) / len(draws)


def wells(draws: np.ndarray) -> np.ndarray:
    """The share of the draws in the left well of every pair, then in the right."""
    left = (draws[:, 0::2] < 0).mean(0)
    return np.concatenate([left, 1 - left])


def problems() -> list[Problem]:
    """The forty normals and the many-well."""
    forty, many = vi.zoo.forty_modes(), vi.zoo.many_well(32)
    return [
        Problem(
            "forty normals", forty, vi.SplineCouplingFlow(num_layers=6, width=64, num_knots=16, bound=3.0), 16.0,
            vi.AnnealedChi(num_temperatures=2, num_leapfrogs=5, every=4, num_runs=64), 0.01, 0.001, 512,
            4000, (0, 1), 50.0, partial(nearest, means_of_forty()),
        ),
        Problem(
            "many-well, 32 dimensions", many, vi.TriangularSplineFlow(num_layers=3, num_knots=8), 1.5,
            vi.AnnealedChi(num_temperatures=8, num_leapfrogs=5, every=8, num_runs=64), 0.004, 0.004, 256,
            5000, (0, 2), 3.0, wells,
        ),
    ]  # fmt: skip


def means_of_forty() -> np.ndarray:
    """The means of the forty normals, drawn as `vi.zoo.forty_modes` does; some overlap, so there are 36 maxima."""
    words = np.random.RandomState(0).randint(0, 2**32, size=(40, 2), dtype=np.uint32)
    return 80.0 * ((words & 0xFFFFFF) / 2.0**24 - 0.5)


def run(problem: Problem, objective: Any) -> dict[str, np.ndarray]:
    """Fits, and judges the fit by exact draws."""
    dim, flow = problem.exact.target.dim, problem.flow
    normal = dist.Normal(jnp.zeros(dim), problem.scale).to_event(1)
    start = flow.start_at(jax.random.key(0), normal)
    began = time.process_time()
    is_reverse = isinstance(objective, vi.ReverseKL)
    rate, max_steps = (problem.reverse_rate, REVERSE_STEPS) if is_reverse else (problem.rate, problem.max_steps)
    method = vi.gradient(flow, objective, optax.adam(rate, b2=0.99), num_draws=problem.num_draws, start=start)
    fit = vi.fit(jax.random.key(0), problem.exact.target, method, max_steps=max_steps)
    seconds = time.process_time() - began
    exact = jnp.asarray(problem.exact.sampler(np.random.default_rng(1), NUM_EXACT), jnp.result_type(float))
    drawn, forward, backward = jax.jit(partial(log_ratios, flow))(fit.params, problem.exact.target, exact)
    forward, backward = np.asarray(forward, float), np.asarray(backward, float)
    log_z = problem.exact.log_evidence
    weights = np.exp(backward - backward.max())
    truth = problem.masses(np.asarray(exact))
    return {
        "forward": 1 / np.exp(forward - log_z).mean(),
        "reverse": weights.sum() ** 2 / (weights**2).sum() / len(weights),
        "kl": np.mean(forward) - log_z,
        "log_z": np.log(weights.mean()) + backward.max() - log_z,
        "masses": problem.masses(np.asarray(drawn)),
        "truth": truth,
        "draws": np.asarray(drawn)[:NUM_SHOWN],
        "gradients": np.asarray(fit.num_gradients),
        "steps": np.asarray(fit.num_steps),
        "seconds": np.asarray(seconds),
        "status": np.asarray(fit.status.name),
    }


def log_ratios(flow: Any, params: Any, target: Any, exact: Any) -> tuple[Any, Any, Any]:
    """Draws of q, and log p~ - log q at the draws of p and at these."""
    q, log_p = flow.distribution(params), jax.vmap(target.log_density)
    drawn = q.sample(jax.random.key(2), (len(exact),))
    return drawn, log_p(exact) - q.log_prob(exact), log_p(drawn) - q.log_prob(drawn)


def kept(folder: Path | None, problem: Problem, objective: Any) -> dict[str, np.ndarray]:
    """The result of a fit, from the folder where it is there already."""
    if folder is None:
        return run(problem, objective)
    path = folder / f"{problem.exact.target.dim}-{type(objective).__name__}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, **run(problem, objective))
    return dict(np.load(path))


def row(problem: Problem, objective: Any, result: dict[str, np.ndarray]) -> str:
    """A line of the table."""
    masses, truth = result["masses"], result["truth"]
    covered = int((masses >= 0.5 * truth).sum())
    half = len(truth) // 2
    error = np.abs(masses - truth)[:half].max() if truth.sum() > 1.5 else np.abs(masses / truth - 1).max()
    return (
        f"| {problem.title} | `{type(objective).__name__}` | {100 * result['forward']:.3g} % | "
        f"{100 * result['reverse']:.3g} % | {result['kl']:.3g} | {result['log_z']:+.3f} | {covered} of {len(truth)} | "
        f"{error:.2g} | {result['gradients']:.2g} | {result['seconds']:.0f} s |\n"
    )


def settings(problem: Problem, results: list[dict[str, np.ndarray]]) -> str:
    """The flow, its start and the objective, in words."""
    steps = " and ".join(f"{int(r['steps'])} ({r['status']})" for r in results)
    return (
        f"- Settings, {problem.title}: `{problem.flow}`, begun at a normal of standard deviation {problem.scale:g}; "
        f"`{problem.annealed}`; {problem.num_draws} draws a step; Adam at a rate of {problem.rate:g} and "
        f"{problem.reverse_rate:g}, lowered as it settles; steps {steps}."
    )


def draw(found: list[tuple[Problem, list[dict[str, np.ndarray]]]]) -> Any:
    """The figure: a row for each problem."""
    import matplotlib.pyplot as plt

    names = ("annealed chi-square", "reverse KL")
    look = looks(names)
    figure, axes = plt.subplots(len(found), 3, figsize=(12, 4 * len(found) + 0.4))
    for (problem, results), (*pictures, masses) in zip(found, axes, strict=True):
        for axis, result, name in zip(pictures, results, names, strict=True):
            contours(axis, problem)
            points = result["draws"][:, problem.shown]
            axis.scatter(*points.T, s=2, color=look[name].color, alpha=0.6, linewidths=0, zorder=2)
            axis.set(xlim=(-problem.limit, problem.limit), ylim=(-problem.limit, problem.limit), aspect="equal")
            axis.set_title(f"{problem.title}: {name}", fontsize=10)
        masses.axhline(1.0, color=INK, linewidth=0.8)
        for result, name in zip(results, names, strict=True):
            ratio = np.minimum(result["masses"] / result["truth"], MOST)
            masses.plot(ratio, look[name].marker, color=look[name].color, markersize=5, clip_on=False)
        masses.set(xlabel="mode", ylabel="mass, fitted / exact", ylim=(-0.05, MOST))
    dots = [Line2D([], [], color=look[n].color, marker=look[n].marker, linestyle="", label=n) for n in names]
    legend_below(figure, dots)
    return figure


def contours(axis: Any, problem: Problem) -> None:
    """The exact density of the two coordinates shown, from its log density where the others are zero."""
    grid = np.linspace(-problem.limit, problem.limit, 200)
    x, y = np.meshgrid(grid, grid)
    points = np.zeros((x.size, problem.exact.target.dim))
    points[:, problem.shown[0]], points[:, problem.shown[1]] = x.ravel(), y.ravel()
    log_p = np.asarray(jax.jit(jax.vmap(problem.exact.target.log_density))(jnp.asarray(points))).reshape(x.shape)
    levels = log_p.max() + np.array([-6.0, -4.0, -2.0, -1.0])
    axis.contour(x, y, log_p, levels=levels, colors=INK, linewidths=0.6, linestyles="solid", zorder=1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="a folder for finished fits")
    folder = parser.parse_args().keep
    jax.config.update("jax_enable_x64", True)  # before anything is computed
    matplotlib.use("Agg")
    found = []
    for problem in problems():
        found.append((problem, [kept(folder, problem, o) for o in (problem.annealed, vi.ReverseKL())]))
    rows = "".join(
        row(problem, objective, result)
        for problem, results in found
        for objective, result in zip((problem.annealed, vi.ReverseKL()), results, strict=True)
    )
    said = "\n".join(settings(problem, results) for problem, results in found)
    left = float(found[1][1][0]["truth"][:16].mean())
    text = HEAD + rows + TAIL.format(num=NUM_EXACT, left=left, settings=said)
    (ROOT / "docs" / "ANNEALED.md").write_text(text, encoding="utf-8")
    with style():
        draw(found).savefig(ROOT / "docs" / "annealed.png", dpi=90)
    return 0


if __name__ == "__main__":
    sys.exit(main())
