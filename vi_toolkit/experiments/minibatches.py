"""Cross-entropy and KL in minibatches: the same gradients for a fixed target, and three ways to lose that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from vi_toolkit._checks import check_key
from vi_toolkit._types import Key
from vi_toolkit.experiments._data import load, standardised
from vi_toolkit.experiments._minibatch_figure import draw_minibatches
from vi_toolkit.experiments._minibatch_losses import (
    CLIP,
    Run,
    batch_values,
    clipped_divergence,
    cross_entropy,
    divergence,
    gradient_differences,
    gradient_noise,
    own_cross_entropy,
    own_divergence,
    run,
    swapped_divergence,
)
from vi_toolkit.experiments._minimise import minimise
from vi_toolkit.experiments.experiment import Experiment, precision_words

TEMPERATURE = 2.0  # the teacher's logits are divided by it
PENALTY = 0.01  # of the teacher, so that its logits stay finite
STUDENT_COLUMNS = (0, 1)  # alcohol and malic acid, of thirteen measurements
BATCH, EPOCHS, RATE = 16, 10, 0.5
WRONG_START = -20.0  # times the student's best parameters: sure of the wrong classes

PAIRS = {
    "fixed target": (cross_entropy, divergence),
    "target carries gradients": (own_cross_entropy, own_divergence),
    "arguments swapped": (cross_entropy, swapped_divergence),
    "probabilities clipped": (cross_entropy, clipped_divergence),
}


class Lesson(NamedTuple):
    """What the student is taught."""

    x: Any  # (rows, columns)
    p: Any  # (rows, classes): the teacher's probabilities
    best: Any  # (columns, classes): the student's best parameters


def minibatches(key: Key) -> Experiment:
    r"""Whether cross-entropy is more robust than KL in minibatches: for a fixed target it is not.

    In a batch with targets p and predictions q, H(p, q) = H(p) + D(p‖q). Where p is fixed, H(p) changes from batch to
    batch and does not depend on the parameters: the two losses differ by it, and their gradients not at all. The data
    are 178 wines: p are the softened probabilities of a classifier that knows 13 measurements of each, q those of one
    that knows 2. Gradient descent follows both losses over the same batches, and again with

    - a target that is half the student's own prediction, with gradients flowing through it;
    - D(q‖p), the arguments swapped;
    - probabilities raised to at least 1e-7, from a start that is sure of the wrong classes.

    Args:
        key: a JAX random key, for the order of the wines in each epoch.

    Returns:
        The experiment. Its numbers, in the order of the table:

        - ``offset_errors`` (4,): the largest |CE - KL - H(p)| of a batch, in nats.
        - ``gradient_differences``, ``largest_gradient_differences`` (4,): the median and the largest over the steps of
          |g(CE) - g(KL)| / |g(CE)|.
        - ``path_differences`` (4,): the largest difference of parameters along the two paths.
        - ``gradient_noise`` (4, 2), for CE and KL: the spread of the batches' gradients over the size of their mean.
        - ``final_distances`` (4, 2): D(p‖q) over all wines after training, in nats.
        - ``batch_entropies`` (steps,): H(p) of each batch; ``value_spread`` (2,): the sd over the batches of CE and KL.

    Raises:
        TypeError: if ``key`` is not a JAX random key.
        ImportError: if scikit-learn, which brings the data, is not installed.

    Example:
        >>> import jax
        >>> from vi_toolkit import experiments
        >>> numbers = experiments.minibatches(jax.random.key(0)).numbers
        >>> bool(numbers["path_differences"][0] < 1e-14), bool((numbers["path_differences"][1:] > 0.1).all())
        (True, True)

    Source: Hinton, Vinyals and Dean (2015), Distilling the knowledge in a neural network, arXiv:1503.02531, for targets
    that are softened probabilities.
    """
    check_key(key)
    lesson = _lesson()
    batches = _batches(key, len(lesson.x))
    runs = {name: _run(name, lesson, batches) for name in PAIRS}
    noise = np.array([[_noise(loss, runs[name], lesson, batches) for loss in PAIRS[name]] for name in PAIRS])
    spread = _values(runs["fixed target"], lesson, batches).std(axis=1)
    numbers = _numbers(runs, noise, spread)
    return Experiment(
        title="Cross-entropy and KL in minibatches",
        numbers=numbers,
        table=_table(numbers),
        figure=draw_minibatches(runs),
        conclusion=_conclusion(numbers),
    )


def _lesson() -> Lesson:
    """A classifier of all measurements is the teacher; the student sees two of them."""
    wine = load("wine")
    everything = np.c_[np.ones(len(wine.data)), standardised(wine.data)]
    logits = everything @ _fit(everything, np.eye(3)[wine.target], PENALTY)
    p = np.asarray(jax.nn.softmax(jnp.asarray(logits) / TEMPERATURE, axis=1))
    x = everything[:, [0, *(1 + column for column in STUDENT_COLUMNS)]]
    return Lesson(*(jnp.asarray(part, jnp.result_type(float)) for part in (x, p, _fit(x, p, 0.0))))


def _fit(x: np.ndarray, p: np.ndarray, penalty: float) -> np.ndarray:
    """The parameters (columns, classes) of least cross-entropy, those of the first class 0."""
    found = minimise(_penalised, np.zeros(2 * x.shape[1]), *map(jnp.asarray, (x, p, penalty)))
    return np.asarray(_with_first_class(found.theta, x.shape[1]), np.float64)


def _penalised(theta: Any, x: Any, p: Any, penalty: Any) -> Any:
    return cross_entropy(_with_first_class(theta, x.shape[1]), x, p) + 0.5 * penalty * jnp.sum(theta**2)


def _with_first_class(theta: Any, columns: int) -> Any:
    return jnp.pad(theta.reshape(columns, -1), ((0, 0), (1, 0)))


def _batches(key: Key, rows: int) -> Any:
    """(steps, BATCH): in each epoch the rows in a new order, less those that do not fill a batch."""
    whole = rows // BATCH * BATCH
    orders = [jax.random.permutation(each, rows)[:whole] for each in jax.random.split(key, EPOCHS)]
    return jnp.concatenate(orders).reshape(-1, BATCH)


def _run(name: str, lesson: Lesson, batches: Any) -> Run:
    start = WRONG_START * lesson.best if name == "probabilities clipped" else jnp.zeros_like(lesson.best)
    found = run(*PAIRS[name], start, lesson.x, lesson.p, batches, jnp.asarray(RATE))
    return Run(*(np.asarray(part, np.float64) for part in found))


def _after_one_epoch(done: Run) -> Any:
    """The parameters that cross-entropy had then: where batches are compared."""
    return jnp.asarray(done.paths[0, len(done.entropies) // EPOCHS], jnp.result_type(float))


def _noise(loss: Any, done: Run, lesson: Lesson, batches: Any) -> float:
    return float(gradient_noise(loss, _after_one_epoch(done), lesson.x, lesson.p, batches))


def _values(done: Run, lesson: Lesson, batches: Any) -> np.ndarray:
    """(2, steps): cross-entropy and KL of every batch."""
    ce, entropies = batch_values(_after_one_epoch(done), lesson.x, lesson.p, batches)
    return np.stack([ce, ce - entropies]).astype(np.float64)


def _numbers(runs: Mapping[str, Run], noise: np.ndarray, spread: np.ndarray) -> dict[str, Any]:
    each = runs.values()
    return {
        "offset_errors": np.array([np.abs(r.losses[0] - r.losses[1] - r.entropies).max() for r in each]),
        "gradient_differences": np.array([np.median(gradient_differences(r)) for r in each]),
        "largest_gradient_differences": np.array([gradient_differences(r).max() for r in each]),
        "path_differences": np.array([np.abs(r.paths[0] - r.paths[1]).max() for r in each]),
        "gradient_noise": noise,
        "final_distances": np.array([r.distances[:, -1] for r in each]),
        "value_spread": spread,
        "batch_entropies": runs["fixed target"].entropies,
    }


def _table(numbers: Mapping[str, Any]) -> pd.DataFrame:
    noise, final = numbers["gradient_noise"], numbers["final_distances"]
    columns = {
        "CE - KL - H(p), at most (nats)": [f"{value:.0e}" for value in numbers["offset_errors"]],
        "gradients differ by (median)": [f"{value:.0e}" for value in numbers["gradient_differences"]],
        "parameters differ by": [f"{value:.0e}" for value in numbers["path_differences"]],
        "gradient noise, CE": noise[:, 0].round(2),
        "gradient noise, KL": noise[:, 1].round(2),
        "D(p‖q) after training, CE": final[:, 0].round(4),
        "D(p‖q) after training, KL": final[:, 1].round(4),
    }
    return pd.DataFrame(columns, index=pd.Index(PAIRS, name="variant"))


def _conclusion(numbers: Mapping[str, Any]) -> str:
    low, high = numbers["batch_entropies"].min(), numbers["batch_entropies"].max()
    noise, final = numbers["gradient_noise"], numbers["final_distances"]
    spread = numbers["value_spread"]
    apart, step = numbers["path_differences"], numbers["gradient_differences"]
    return (
        f"For a fixed target the cross-entropy of a batch is its KL plus H(p), which ran from {low:.2f} to "
        f"{high:.2f} nats over the batches; the rest is {numbers['offset_errors'][0]:.0e}. H(p) has no gradient: "
        f"the gradients differ by {numbers['largest_gradient_differences'][0]:.0e} of their length at most, their "
        f"noise from batch to batch is the same ({noise[0, 0]:.4f} and {noise[0, 1]:.4f} of the mean), and after "
        f"{len(numbers['batch_entropies'])} steps the parameters differ by {apart[0]:.0e}. Cross-entropy is no "
        f"more robust than KL: only the printed values scatter differently, with an sd of {spread[0]:.3f} nats for "
        f"CE and {spread[1]:.3f} for KL at the parameters after one epoch."
        "\n\n"
        "The losses do differ where something else changed. Where gradients flow through the target, those of CE "
        f"and KL differ by {100 * step[1]:.0f} % (median of the steps); the gradients of KL are the noisier ones "
        f"({noise[1, 1]:.2f} against {noise[1, 0]:.2f}), but CE ends farther from the teacher ({final[1, 0]:.3f} "
        f"nats against {final[1, 1]:.3f}; the fixed target gave {final[0, 0]:.3f}). With the arguments swapped it "
        f"is another divergence: {100 * step[2]:.0f} %, and {final[2, 1]:.3f} nats. With probabilities clipped at "
        f"{CLIP:g}, from a start that is sure of the wrong classes, KL has no gradient where it is most wrong and "
        f"ends at {final[3, 1]:.2f} nats, and cross-entropy from logits at {final[3, 0]:.3f}: the clipping does "
        f"it, not the divergence. {precision_words()}"
    )
