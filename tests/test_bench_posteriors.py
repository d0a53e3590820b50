"""The bench of real posteriors: its measures against closed forms, its files, its page, and what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import seed
from numpyro.infer import autoguide

import vi_toolkit as vi
from benchmarks.posteriordb import clock, metrics, run, table, timing, worker
from benchmarks.posteriordb.contender import Contender, Fitted, fitted_distribution, sampled_only
from benchmarks.posteriordb.methods import METHODS, choose, numpyro_svi
from benchmarks.posteriordb.methods.blackjax_vi import counting, normal_of
from benchmarks.posteriordb.methods.optimum import climb
from benchmarks.posteriordb.problems import Problem
from benchmarks.posteriordb.records import Records
from vi_toolkit.information import kl_divergence

LOG_EVIDENCE = 3.0
MEAN, COVARIANCE = np.array([1.0, -2.0]), np.array([[4.0, 1.0], [1.0, 0.5]])
Q = dist.MultivariateNormal(jnp.array([1.5, -2.1]), jnp.array([[3.0, 0.5], [0.5, 0.6]]))


def gaussian_problem(mean: np.ndarray = MEAN, covariance: np.ndarray = COVARIANCE) -> Problem:
    """A Gaussian with an evidence of its own."""
    normal = dist.MultivariateNormal(jnp.asarray(mean), jnp.asarray(covariance))
    target = vi.from_log_density(lambda z: normal.log_prob(z) + LOG_EVIDENCE, dim=len(mean))
    draws = np.asarray(normal.sample(jax.random.key(5), (10_000,)))
    sd = np.sqrt(np.diag(covariance))
    return Problem("gaussian", None, {}, target, draws, mean, sd, covariance, LOG_EVIDENCE, 0.0)


def measured(problem: Problem, q: dist.Distribution) -> dict[str, float]:
    found = metrics.measure(fitted_distribution(q, gradients=1.0), problem, jax.random.key(0))
    return {name: float(value) for name, value in found.items() if value is not None}


def test_measures_are_those_in_closed_form() -> None:
    found = measured(gaussian_problem(), Q)
    p = dist.MultivariateNormal(jnp.asarray(MEAN), jnp.asarray(COVARIANCE))
    reverse, forward = float(kl_divergence(Q, p)), float(kl_divergence(p, Q))
    assert abs(found["reverse_kl"] - reverse) < 5 * found["reverse_kl_se"]
    assert abs(found["forward_kl"] - forward) < 5 * found["forward_kl_se"]
    assert reverse > 20 * found["reverse_kl_se"]  # the errors are small enough to tell
    assert forward > 20 * found["forward_kl_se"]
    assert found["mean_error"] == pytest.approx(0.5 / 2.0)  # the first: 0.25 sd, the second: 0.1 / 0.71
    assert found["sd_error"] == pytest.approx(0.5 * np.log(4.0 / 3.0))


def test_khat_is_the_tail_index() -> None:
    r"""q = N(0, s^2), p = N(0, 1): log w = (1 - s^2) e^2 / 2, whose tail index is 1 - s^2."""
    problem = gaussian_problem(np.zeros(1), np.eye(1))
    narrow = measured(problem, dist.MultivariateNormal(jnp.zeros(1), 0.2 * jnp.eye(1)))
    wide = measured(problem, dist.MultivariateNormal(jnp.zeros(1), 2.0 * jnp.eye(1)))
    assert abs(narrow["khat"] - 0.8) < 0.15  # the Pareto form is that of the limit; the estimate's sd is about 0.06
    assert wide["khat"] < 0.1


def test_coordinates_are_put_in_the_targets_order() -> None:
    swapped = fitted_distribution(
        dist.MultivariateNormal(jnp.asarray(MEAN[::-1].copy()), jnp.asarray(COVARIANCE[::-1, ::-1].copy())),
        order=[1, 0],
        gradients=1.0,
    )
    found = metrics.measure(swapped, gaussian_problem(), jax.random.key(0))
    assert abs(float(found["reverse_kl"] or 0.0)) < 1e-10
    assert abs(float(found["forward_kl"] or 0.0)) < 1e-10
    assert float(found["mean_error"] or 0.0) < 1e-12


def test_order_of_an_autoguide_follows_its_sites() -> None:
    def model() -> None:
        numpyro.sample("zeta", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        numpyro.sample("alpha", dist.Normal(0.0, 1.0))

    guide = autoguide.AutoMultivariateNormal(model)
    seed(guide, jax.random.key(0))()
    problem = replace(gaussian_problem(), target=vi.from_numpyro(model))
    flat = jnp.array([0.1, 0.2, 0.3])
    sites, z = guide._unpack_latent(flat), flat[numpyro_svi._order(guide, problem)]
    assert z[:2].tolist() == sites["zeta"].tolist()
    assert z[2].item() == sites["alpha"].item()


def test_a_density_that_is_not_that_of_the_draws_is_a_failure() -> None:
    problem = gaussian_problem()
    right = fitted_distribution(dist.MultivariateNormal(jnp.asarray(MEAN), jnp.asarray(COVARIANCE)), gradients=1.0)

    def too_low(key: jax.Array, num_draws: int) -> tuple[jax.Array, jax.Array]:
        draws, log_q = right.sample(key, num_draws)
        return draws, log_q - 2.0

    with pytest.raises(FloatingPointError, match="negative"):
        metrics.measure(replace(right, sample=too_low), problem, jax.random.key(0))


def test_draws_alone_give_moments_alone() -> None:
    problem = gaussian_problem()
    found = metrics.measure(sampled_only(problem.draws, gradients=None), problem, jax.random.key(0))
    assert found["reverse_kl"] is None
    assert found["khat"] is None
    assert 0.0 < float(found["mean_error"] or 0.0) < 5 / np.sqrt(10_000)


def test_a_density_of_zero_at_a_draw_is_an_infinite_divergence() -> None:
    half_line = vi.from_log_density(lambda z: jnp.where(z[0] > 0, -z[0], -jnp.inf), dim=1)
    problem = replace(gaussian_problem(np.zeros(1), np.eye(1)), target=half_line)
    assert measured(problem, dist.MultivariateNormal(jnp.zeros(1), jnp.eye(1)))["reverse_kl"] == np.inf


def test_pathfinders_normal_is_the_one_that_blackjax_draws_from() -> None:
    from blackjax.optimizers.lbfgs import lbfgs_inverse_hessian_factors
    from blackjax.vi import pathfinder

    precision = jnp.linalg.inv(jnp.asarray(COVARIANCE))
    steps, alpha = jnp.array([[1.0], [0.4]]), jnp.array([2.0, 0.3])
    beta, gamma = lbfgs_inverse_hessian_factors(steps, precision @ steps, alpha)
    position = jnp.array([0.5, 0.5])
    state = pathfinder.PathfinderState(jnp.zeros(()), position, precision @ position, alpha, beta, gamma)
    draws, log_q = pathfinder.sample(jax.random.key(1), state, 50)
    np.testing.assert_allclose(normal_of(state).log_prob(draws), log_q, atol=1e-6)


def test_every_draw_of_a_batch_counts() -> None:
    counted, calls = counting(lambda z: -jnp.sum(z**2))
    jax.block_until_ready(jax.jit(jax.vmap(counted))(jnp.ones((7, 2))))
    gradient = jax.block_until_ready(jax.jit(jax.vmap(jax.vmap(jax.grad(counted))))(jnp.ones((3, 2, 2))))
    jax.effects_barrier()
    assert calls == {"densities": 7, "gradients": 6}
    assert (gradient == -2.0).all()


def test_yardstick_finds_the_optimum_from_afar() -> None:
    mean, covariance = climb(gaussian_problem().target, jnp.zeros(2), jnp.eye(2), jax.random.key(0))
    np.testing.assert_allclose(mean, MEAN, atol=1e-6)
    np.testing.assert_allclose(covariance, COVARIANCE, atol=1e-6)


def test_a_worker_reports_and_survives_failures() -> None:
    events: list[dict[str, object]] = []
    fine = Contender("", lambda problem, seed: fitted_distribution(Q, gradients=7.0, ended="CONVERGED"))
    record = worker.run_one(fine, gaussian_problem(), 0, True, True, lambda **event: events.append(event))
    assert (record["status"], record["gradients"], record["said"]) == ("ok", 7.0, "CONVERGED")
    assert {"cold_seconds", "cold_compile_seconds", "warm_seconds", "warm_cpu_seconds"} <= set(record)
    assert [event["event"] for event in events] == ["fitting", "measuring", "fitting"]

    def refuses(problem: Problem, seed: int) -> Fitted:
        raise ValueError("no such thing in /home/somebody/file\nand more")

    record = worker.run_one(Contender("", refuses), gaussian_problem(), 3, False, False, lambda **event: None)
    assert (record["status"], record["said"]) == ("failed", "ValueError: no such thing in ...")

    spike = Contender("", lambda problem, seed: sampled_only(np.zeros((100, 2)), gradients=None))
    record = worker.run_one(spike, gaussian_problem(), 3, False, False, lambda **event: None)
    assert record["status"] == "failed"
    assert "spreads of zero" in record["said"]


def test_compile_time_counts_nested_parts_once() -> None:
    assert clock.covered([(0.0, 3.0), (1.0, 2.0), (2.5, 4.0), (6.0, 7.0)]) == pytest.approx(5.0)
    program = jax.jit(lambda x: jnp.sin(x) * 3.25)
    cold, warm = (clock.timed(lambda: program(jnp.ones(3))) for _ in range(2))
    assert 0.0 < cold.compile_seconds < cold.seconds
    assert warm.compile_seconds == 0.0


def filled(folder: Path) -> Records:
    """Two methods on one posterior, one that failed, one that is missing."""
    records = Records.read(folder / "POSTERIORS.json")
    good = {"target": "nes2000-nes", "dim": 10, "status": "ok", "said": "", "mean_error": 0.05, "sd_error": 0.02}
    good |= {"reverse_kl": 0.25, "forward_kl": 0.5, "khat": "-inf", "gradients": 400.0, "load": 0.5}
    for number in range(3):
        again = good | {"seed": number, "reverse_kl": 0.25 + number, "cold_seconds": 2.0, "warm_seconds": 0.125}
        records.add("ours/default", again)
    records.add("numpyro/AutoNormal", worker.failed("nes2000-nes", 0, "fitting took longer than 300 s and was ended."))
    records.say_missing("pymc/advi", "pymc is not installed.")
    return records


def test_records_are_kept_and_taken_up(tmp_path: Path) -> None:
    filled(tmp_path)
    again = Records.read(tmp_path / "POSTERIORS.json")
    assert len(again.fits) == 4
    assert again.todo("ours/default", ["nes2000-nes", "arK-arK"], range(4), False) == {
        "nes2000-nes": [3],
        "arK-arK": [0, 1, 2, 3],
    }
    assert again.todo("ours/default", ["nes2000-nes"], range(2), True) == {"nes2000-nes": [0, 1]}
    json.loads((tmp_path / "POSTERIORS.json").read_text(), parse_constant=pytest.fail)  # no NaN, no Infinity
    assert json.loads(json.dumps(worker.plain({"x": {"y": float("-inf")}, "z": 1.0}))) == {"x": {"y": "-inf"}, "z": 1.0}


def test_the_page_says_what_came_out(tmp_path: Path) -> None:
    text = table.page(filled(tmp_path))
    row = next(line for line in text.splitlines() if line.startswith("| ours/default"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:10] == ["ours/default", "1", "3", "0", "3 of 3", "0 of 0", "0.05", "0.02", "1.25", "0.5"]
    assert "| nes2000-nes | 10 |  | 1.25 |" in text  # the method that failed everywhere has no column, but a line below
    assert "numpyro/AutoNormal, nes2000-nes: fitting took longer than 300 s" in text
    assert "pymc/advi: pymc is not installed." in text
    assert f"- **ours/default**: {METHODS['ours/default'].settings}" in text


def test_times_are_held_against_the_fastest_peer_that_is_near(tmp_path: Path) -> None:
    records = Records.read(tmp_path / "POSTERIORS.json")

    def add(method: str, target: str, divergence: float | str, seconds: float) -> None:
        times = {"cold_seconds": 4 * seconds, "warm_seconds": seconds}
        fit = {"target": target, "seed": 0, "status": "ok", "mean_error": 0.0, "sd_error": 0.0}
        records.add(method, fit | {"reverse_kl": divergence} | times)

    for target, seconds in (("arK-arK", 1.0), ("nes2000-nes", 4.0)):
        add("yardstick/full-rank optimum", target, 0.1, 60.0)
        add("ours/default", target, 0.14, seconds)
        add("numpyro/AutoNormal", target, 0.16, 0.01)  # faster, but not near
        add("blackjax/pathfinder", target, "inf", 0.01)
        add("numpyro/NUTS", target, 0.0, 50.0)
    add("numpyro/AutoMultivariateNormal", "arK-arK", 0.149, 2.0)
    add("numpyro/AutoLowRankMultivariateNormal", "arK-arK", 0.11, 3.0)
    (row,) = timing.ratios(records, ["ours/default"], [name for name in METHODS if name.startswith(("numpyro/A", "b"))])
    assert row == ["ours/default", "2 of 2", "0.5 (1)", "0.5 (1)", "0.04 (2)"]  # sqrt(1/50 * 4/50)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), ("inf", "∞"), (0.0123456, "0.0123"), (12345.6, "12,346"), (4.05e23, "4e23"), (4e-5, "0.000")],
)
def test_numbers_are_short(value: object, shown: str) -> None:
    assert table.short(value) == shown


def test_a_missing_folder_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("POSTERIORDB", raising=False)
    with pytest.raises(SystemExit):
        run.main(["--targets", "nes2000-nes", "--output", str(tmp_path)])
    assert "POSTERIORDB" in capsys.readouterr().err
    given = run._parse(["--output", str(tmp_path)])
    assert "18 posteriors of the database are left out" in capsys.readouterr().out
    assert "breast_cancer_31" in given.targets
    assert "nes2000-nes" not in given.targets


def test_methods_are_chosen_by_name_or_library() -> None:
    assert choose(["numpyro/NUTS"]) == ["numpyro/NUTS"]
    assert all(name.startswith("ours/") for name in choose(["ours"]))
    with pytest.raises(ValueError, match="no 'stan'"):
        choose(["stan"])


def test_a_fit_that_takes_too_long_is_ended() -> None:
    script = 'import time; print(\'{"event": "fitting"}\', flush=True); time.sleep(60)'
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        events = list(run._read(process, 0.2))
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
    assert [event["event"] for event in events] == ["fitting", "too long"]
    assert "took longer than" in events[-1]["said"]
