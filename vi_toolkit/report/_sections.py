"""The sections of the page about one fit."""

from __future__ import annotations

import numpy as np

from vi_toolkit.diagnostics import Diagnosis
from vi_toolkit.diagnostics.moments import moments_of_draws
from vi_toolkit.plots._matrix import draw_matrix
from vi_toolkit.plots._small_multiples import draw_marginals
from vi_toolkit.plots.bracket import plot_bracket, rows_of
from vi_toolkit.plots.errors import draw_errors, errors_of, errors_of_draws
from vi_toolkit.plots.fit_trace import draw_course
from vi_toolkit.plots.log_weights import plot_log_weights
from vi_toolkit.plots.mode_masses import draw_masses, masses_of
from vi_toolkit.plots.pairs import MAX_COORDINATES
from vi_toolkit.report._findings import MARK, Findings
from vi_toolkit.report._html import Html, join, paragraph, picture, rows, section, table, tag
from vi_toolkit.report._numbers import decimals, number

MAX_ROWS = 200
QUANTILES = {"5 %": 0.05, "50 %": 0.5, "95 %": 0.95}


def narrow() -> Html:
    """Said on a narrow screen alone."""
    return paragraph("Tables and figures that are wider than the screen move sideways.", class_="quiet narrow")


def parameters(found: Findings) -> Html:
    """Every scalar in the model's own space: q, q reweighted, the reference, quantiles, its own k-hat."""
    labels = list(found.sites.columns)
    shown = labels[:MAX_ROWS]
    khats = _own_khats(found)
    head = ["", "mean", "sd", "mean, reweighted", "sd, reweighted"]
    head += ["mean, reference", "sd, reference"] if found.reference is not None else []
    head += [*QUANTILES, *(["k-hat"] if khats else [])]
    draws = np.stack([found.sites.columns[label] for label in shown], axis=1)
    sets = [moments_of_draws(draws), moments_of_draws(draws, found.sites.log_weights)]
    if found.reference is not None:
        sets.append(moments_of_draws(np.stack([found.reference[label] for label in shown], axis=1)))
    quantiles = np.quantile(draws, list(QUANTILES.values()), axis=0)
    body = []
    for i, label in enumerate(shown):
        places = decimals(float(sets[0].sd[i]))
        numbers = [value for moments in sets for value in (moments.mean[i], moments.sd[i])]
        cells = [number(float(value), places) for value in (*numbers, *quantiles[:, i])]
        body.append([label, *cells, *([number(khats[label], 2) if label in khats else ""] if khats else [])])
    more = f"The first {len(shown)} of {len(labels)}. " if len(shown) < len(labels) else ""
    words = (
        f"{more}From {len(draws)} draws of q, in the model's own units. Reweighted: by smoothed importance weights, "
        "towards the posterior; see the verdict for whether to trust them."
    )
    return section("Parameters", table(head, body, "Parameters"), paragraph(words, class_="quiet"))


def _own_khats(found: Findings) -> dict[str, float]:
    """{scalar: k-hat} for the scalars that are a coordinate of R^dim, or grow or fall with one alone."""
    if found.diagnosis is None or found.diagnosis.parameter_khats is None:
        return {}
    out = {}
    for (name, values), khat in zip(found.unconstrained.items(), found.diagnosis.parameter_khats, strict=True):
        own = name.removesuffix(MARK)
        if own in found.sites.columns and _one_by_one(values, found.sites.columns[own]):
            out[own] = float(khat)
    return out


def _one_by_one(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether one set of draws grows or falls with the other."""
    steps = np.diff(y[np.argsort(x)])
    return bool((steps >= 0).all() or (steps <= 0).all())


def evidence(diagnosis: Diagnosis) -> Html:
    """The numbers behind the verdict: the table that printing the diagnosis shows, without the verdicts."""
    lines = str(diagnosis).partition("\n\n")[0].splitlines()
    pairs = [(name.strip(), value.strip()) for name, _, value in (line.partition("  ") for line in lines)]
    return rows({name: value for name, value in pairs if name not in diagnosis.verdicts})


def figures(found: Findings) -> list[Html]:
    """What can be drawn, in the order in which it is asked for; each with words for who cannot see it."""
    diagnosis = found.diagnosis
    drawn = [
        _marginals(found),
        _weights(diagnosis),
        _bracket(diagnosis),
        _errors(found),
        _masses(diagnosis),
        _pairs(found),
    ]
    return [figure for figure in drawn if figure]


def _marginals(found: Findings) -> Html:
    whose = "q, q reweighted and the reference" if found.reference is not None else "q and q reweighted"
    return picture(draw_marginals(found.sites, found.reference), f"Marginal densities of {whose}.", "Marginals")


def _pairs(found: Findings) -> Html:
    names = [name for name, values in found.unconstrained.items() if np.ptp(values) > 0][:MAX_COORDINATES]
    if len(names) < 2:
        return Html("")
    q = {name: found.unconstrained[name] for name in names}
    figure = draw_matrix(q, found.sites.log_weights, found.sites.khat, found.unconstrained_reference)
    over = "its own draws reweighted" if found.unconstrained_reference is None else "the reference"
    return picture(figure, f"Pairs of {', '.join(names)}: q over {over}.", "Pairs, on the unconstrained space")


def _weights(diagnosis: Diagnosis | None) -> Html:
    if diagnosis is None or diagnosis.log_weights is None or np.isfinite(diagnosis.log_weights).sum() < 2:
        return Html("")
    words = f"Log weights of the draws and their upper tail; k-hat is {diagnosis.khat:.2f}."
    return picture(plot_log_weights(diagnosis), words, "Importance weights")


def _bracket(diagnosis: Diagnosis | None) -> Html:
    if diagnosis is None or not rows_of(diagnosis):
        return Html("")
    return picture(plot_bracket(diagnosis), "Bounds of the log evidence from below and above.", "Evidence")


def _errors(found: Findings) -> Html:
    """As the diagnosis knows them, else by the tree's own draws reweighted."""
    labels, errors = list(found.unconstrained), None
    if found.diagnosis is not None:
        errors = errors_of(found.diagnosis)
    if errors is None:
        draws = np.stack(list(found.unconstrained.values()), axis=1)
        errors = errors_of_draws(draws, found.sites.log_weights)
    words = f"Errors of means and ratios of sds of q against {errors.against}."
    return picture(draw_errors(errors, labels), words, "Errors of means and spreads")


def _masses(diagnosis: Diagnosis | None) -> Html:
    masses = None if diagnosis is None else masses_of(diagnosis)
    if masses is None:
        return Html("")
    return picture(draw_masses(masses), "Mass of the posterior and of q at each mode.", "Modes")


def run(found: Findings) -> Html:
    """How the fit ended, and its trace."""
    course = found.course
    words = (
        f"{course.status.name} after {course.num_steps:,} steps and {course.num_gradients:,.0f} gradients of the log "
        f"density: {course.status.value}."
    )
    drawn = len(course.history.get("loss", ())) > 0
    trace = picture(draw_course(course), f"The course of the fit. {words}") if drawn else Html("")
    return join([paragraph(words), trace])


def recipe(found: Findings) -> dict[str, str]:
    """What is needed to make the same fit again, versions aside."""
    kind, words = found.course.key
    return {
        "method": tag("code", found.course.method),
        "coordinates": f"{found.course.dim}, unconstrained",
        "random key": tag("code", f"{kind} {list(words)}"),
    }


def versions(found: Findings) -> dict[str, str]:
    """What it was computed with."""
    return {"precision": found.course.precision, **found.course.versions}


def source(found: Findings) -> Html:
    """The model as its author wrote it."""
    run = found.course
    if not run.source:
        return Html("")
    return section("Model", tag("div", tag("pre", tag("code", run.source)), class_="scroll", tabindex="0"))
