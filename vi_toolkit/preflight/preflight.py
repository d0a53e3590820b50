"""What is looked at before a fit takes its first step: whether the model and the method can work at all."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from vi_toolkit._checks import check_instance, check_key
from vi_toolkit._types import Key, Vector
from vi_toolkit.algorithms import Method
from vi_toolkit.preflight._digits import lost_digits
from vi_toolkit.preflight._first_draws import begins_by_itself, faults_of_first_draws
from vi_toolkit.preflight._flat import flat_directions, in_words
from vi_toolkit.preflight._look import Look, look_around, why_no_gradient
from vi_toolkit.targets import Target


@dataclass(frozen=True)
class Preflight:
    """What `preflight` found.

    Attributes:
        errors: why a fit cannot work, in words; `vi.fit` raises them before its first step.
        warnings: what it may go wrong by, in words; they come first among ``fit.warnings``.

    Example:
        >>> import vi_toolkit as vi
        >>> print(vi.Preflight((), ("the posterior is improper",)))
        warning: the posterior is improper
    """

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"error: {words}" for words in self.errors] + [f"warning: {words}" for words in self.warnings]
        return "\n".join(lines) or "nothing found"


def preflight(key: Key, target: Target, method: Method | None = None) -> Preflight:
    """Looks at a target, and at the method that it is to be fitted by, before a fit takes its first step.

    `vi.fit` does this by itself, unless ``preflight=False``. A model is looked at in two places. `vi.from_numpyro`
    refuses what can be told from the sites alone: data that are no numbers, NaN, or left out; sites of one name; an
    observed site whose log density would have another shape than its data, such as data (50, 1) against locations (50,),
    which NumPyro would count 50 times; plates that take a random part of their rows; discrete or missing unknowns.
    `vi.from_numpyro_guide` does so for guides. Here the target is computed, at random points:

    - JAX must be able to differentiate the log density backwards, which ends at a ``jax.lax.while_loop``;
    - log density and gradient must be finite at one of them (and, of a guide that begins where it says itself, at one
      of its first draws, with the guide's own log density); else the sites and their values are named;
    - a direction v with v . grad log p~(z) = 0 at more points than there are coordinates, along which log p~ does not
      change far out either, is flat: the posterior is improper, and v is written by its sites, "alpha - beta";
    - in float32, the digits that are lost to the number and the size of the data are held against what they decide;
    - a model without any data is said to have none, and an unknown that nothing depends on, where arguments were left
      out, to be perhaps one that data belong to.

    It costs max(8, dim) + 4 gradients (12 above 300 dimensions, where flat directions are not looked for), which
    ``fit.num_gradients`` leaves out, and one compiled program a model.

    What cannot be seen here: a minibatch that is passed as if it were all the data, since only the user knows how many
    rows there are; flat directions that are curved, as of a product of two unknowns under flat priors; a posterior that
    is improper on one side only, which a fit shows at its end.

    Args:
        key: a JAX random key; the fit's own, to look where it will.
        target: from `vi.from_numpyro` or `vi.from_log_density`.
        method: what it is to be fitted by; matters for guides that were written by hand.

    Returns:
        Errors and warnings, in words. Nothing is raised for them.

    Raises:
        TypeError: if an argument is of the wrong kind.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> def model(y):
        ...     flat = dist.ImproperUniform(dist.constraints.real, (), ())
        ...     alpha, beta = numpyro.sample("alpha", flat), numpyro.sample("beta", flat)
        ...     numpyro.sample("y", dist.Normal(alpha + beta, 1.0), obs=y)
        >>> print(vi.preflight(jax.random.key(0), vi.from_numpyro(model, 3.0)))
        warning: target: its log density does not change along alpha - beta, as far as was looked: the posterior is improper, and no approximation of it is right. Give these unknowns proper priors, or fix one of them.
    """  # noqa: E501 - the output of an example
    check_key(key)
    check_instance(
        target, Target, "target", "Make one with vi.from_numpyro(model, ...) or vi.from_log_density(f, dim=...)."
    )
    if method is not None:
        check_instance(method, Method, "method", "Make one with vi.gradient(guide, objective).")
    if target.num_values is not None:  # a target over whole numbers has no gradients
        return Preflight()
    warnings = [*target.program.remarks(), *lost_digits(target)]
    try:
        look = look_around(key, target)
    except (ValueError, TypeError, NotImplementedError):
        fault = why_no_gradient(target)
        if fault is None:
            raise
        return Preflight((fault,), tuple(warnings))
    errors: list[str] = []
    if method is not None and begins_by_itself(method):
        errors, said = faults_of_first_draws(key, target, method)
        warnings = said + warnings
    elif not look.finite.any():
        errors = [nowhere_finite(target, jnp.asarray(look.points[0]))]
    return Preflight(tuple(errors), (*_flat_words(target, look), *warnings))


def nowhere_finite(target: Target, point: Vector) -> str:
    """Why a fit has nowhere to begin, in words."""
    return (
        "target: the log density or its gradient is not finite at any point tried as a start. At one of them, "
        f"{target.explain(point)}. Check the data for NaN and for values outside a site's support, "
        "and the priors."
    )


def _flat_words(target: Target, look: Look) -> list[str]:
    directions = flat_directions(target, look)
    if not len(directions):
        return []
    named = ", ".join(in_words(target, direction) for direction in directions[:4])
    more = f" and {len(directions) - 4} directions more" * (len(directions) > 4)
    return [
        f"target: its log density does not change along {named}{more}, as far as was looked: the posterior is "
        "improper, and no approximation of it is right. Give these unknowns proper priors, or fix one of them."
    ]
