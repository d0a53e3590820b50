"""Makes every fit of the bench, holds it against the truth, and asks for a verdict without showing it."""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.handlers import block
from numpyro.infer import psis_diagnostic

import vi_toolkit as vi
from benchmarks.verdicts.cases import Case, cases, held_out, run_case
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets.values import own_values

MEAN_LIMIT = 0.1  # posterior standard deviations
SD_LIMIT = 0.1  # of the ratio of standard deviations, less one
DOCS = Path(__file__).resolve().parents[2] / "docs"
RECORDS = "verdicts.json"
MANY = 200_000  # draws, where something is known by draws alone
KEY = 1000  # of diagnoses, plus the fit's own


def main(arguments: list[str]) -> int:
    """Runs the bench, prints each fit, and writes the page and the records."""
    from benchmarks.verdicts.table import by_cause, page

    parser = argparse.ArgumentParser(prog="python -m benchmarks verdicts", description=__doc__)
    parser.add_argument("--only", default="", help="cases and causes that hold this text")
    parser.add_argument("--held-out", action="store_true", help="the cases that had no say in the rules, instead")
    parser.add_argument("--output", type=Path, default=DOCS, help="the folder of VERDICTS.md and verdicts.json")
    given = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    name = "held_out" if given.held_out else "settled_on"
    before = {key: values for key, values in _read(given.output).items() if key != "note"}
    records = {**before, name: run(held_out() if given.held_out else cases(), given.only)}
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / RECORDS).write_text(json.dumps(records, indent=1, default=float) + "\n")
    (given.output / "VERDICTS.md").write_text(page(records))
    print(by_cause(records[name]).to_string(index=False))
    return 0


def _read(folder: Path) -> dict[str, Any]:
    """The records that are there already."""
    path = folder / RECORDS
    return dict(json.loads(path.read_text())) if path.exists() else {}


def run(chosen: Iterable[Case], only: str = "") -> list[dict[str, Any]]:
    """One record for each fit."""
    records = []
    for case in chosen:
        if only in case.name or only in case.cause:
            for seed in case.seeds:
                records.append(one(case, seed))
                print(line(records[-1]), flush=True)
            jax.clear_caches()  # a process has room for so many compiled programs
    return records


def one(case: Case, seed: int) -> dict[str, Any]:
    """A fit, its errors, and what was said of it."""
    began = time.perf_counter()
    record: dict[str, Any] = {"case": case.name, "cause": case.cause, "seed": seed}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            posterior, fit = run_case(case, seed)
    except ValueError as error:
        return record | {"verdict": "REFUSED", "good": False, "mended": False, "words": str(error).split("\n")[0]}
    made = time.perf_counter()
    diagnosis = vi.diagnose(jax.random.key(KEY + seed), fit)
    judged = time.perf_counter()
    own, mended = errors(posterior, fit, diagnosis.num_draws, seed)
    return record | {
        "status": fit.status.name,
        "mean_error": own[0],
        "sd_error": own[1],
        "mended_mean_error": mended[0],
        "mended_sd_error": mended[1],
        "good": own[0] <= MEAN_LIMIT and own[1] <= SD_LIMIT,
        "mended": mended[0] <= MEAN_LIMIT and mended[1] <= SD_LIMIT,
        "verdict": diagnosis.verdict.name,
        **{name: verdict.name for name, verdict in diagnosis.verdicts.items()},
        "khat": diagnosis.khat,
        "num_draws": diagnosis.num_draws,
        "search_khat": None if diagnosis.basins is None else diagnosis.basins.khat,
        "numpyro_khat": numpyro_khat(fit, seed),
        "seconds_fit": made - began,
        "seconds_diagnose": judged - made,
        "words": diagnosis.sentence,
    }


def errors(posterior: ExactPosterior, fit: vi.Fit, num_draws: int, seed: int) -> tuple[tuple[float, float], ...]:
    """The largest errors of means, in sds, and of sds, as a share, of q and of its reweighted draws.

    Those of the coordinates of R^dim, and of the model's sites in their own space, which are known by many draws.
    """
    assert posterior.mean is not None
    assert posterior.sd is not None
    q, own = fit.posterior, own_values(posterior.target)
    many = jax.random.split(jax.random.key(seed + 1))
    draws_q = np.asarray(q.sample(many[0], (MANY,)), np.float64)
    values_p = own.at(posterior.sample(many[1], MANY) if posterior.draws is None else posterior.draws)
    values_q = own.at(draws_q)
    mean_p, sd_p = (
        np.append(z, x) for z, x in ((posterior.mean, values_p.mean(axis=0)), (posterior.sd, values_p.std(axis=0)))
    )
    try:
        mean, sd = np.asarray(q.mean, np.float64), np.sqrt(np.asarray(q.variance, np.float64))
    except (NotImplementedError, AttributeError):
        mean, sd = draws_q.mean(axis=0), draws_q.std(axis=0)
    mended = vi.reweight(jax.random.key(seed + 2), fit, num_draws=num_draws)
    corrected = vi.diagnostics.moments_of_draws(own.beside(mended.draws), mended.log_weights)
    pairs = (
        (np.append(mean, values_q.mean(axis=0)), np.append(sd, values_q.std(axis=0))),
        (corrected.mean, corrected.sd),
    )
    return tuple((float(np.abs((m - mean_p) / sd_p).max()), float(np.abs(s / sd_p - 1).max())) for m, s in pairs)


def numpyro_khat(fit: vi.Fit, seed: int) -> float:
    """NumPyro's own k-hat of the same q, by its documented call."""

    def model() -> None:
        z = numpyro.sample("z", dist.ImproperUniform(dist.constraints.real_vector, (), (fit.target.dim,)))
        with block():  # its own sites are not to be seen
            log_density = fit.target.log_density(z)
        numpyro.factor("density", log_density)

    def guide() -> None:
        numpyro.sample("z", fit.posterior)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(psis_diagnostic(jax.random.key(seed), {}, model, guide, num_particles=1000))


def line(record: dict[str, Any]) -> str:
    """A record in one line."""
    truth = "good" if record["good"] else "bad"
    if record["verdict"] == "REFUSED":
        return f"{record['case']:44.44} {record['seed']} {truth:5} REFUSED {record['words'][:60]}"
    return (
        f"{record['case']:44.44} {record['seed']} {truth:5} {record['verdict'][:8]:8} "
        f"{' '.join(record[part][:5] for part in ('means', 'spreads', 'tails', 'modes'))} "
        f"err {record['mean_error']:.2f} {record['sd_error']:.2f} after {record['mended_mean_error']:.2f} "
        f"{record['mended_sd_error']:.2f} k {record['khat']:.2f} n {record['num_draws']} "
        f"search {record['search_khat']} numpyro {record['numpyro_khat']:.2f} {record['seconds_diagnose']:.1f} s"
    )
