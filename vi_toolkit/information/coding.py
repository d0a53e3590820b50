"""Surprise, and what it costs in bits to write symbols down: real codes, Shannon's and Huffman's."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import reduce
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution

from vi_toolkit._checks import check_instance, check_positive_int, describe
from vi_toolkit.information._operands import as_probabilities, log_probs
from vi_toolkit.information.divergences import kl_divergence
from vi_toolkit.information.entropies import cross_entropy, entropy
from vi_toolkit.information.measurement import Measurement, in_unit, plain

MAX_BLOCKS = 2**17


def information_content(event: Any, distribution: Distribution | None = None, *, unit: str = "nats") -> Measurement:
    r"""The surprise -log P(event): what is learned when it happens. Its mean is the entropy.

    Args:
        event: the probability of an event (or several); or, with a distribution, the value that was seen.
        distribution: what the value was drawn from; for a continuous one the surprise is of its density.
        unit: "nats", "bits" or "bans".

    Raises:
        TypeError: if ``event`` holds no numbers, or ``distribution`` is none.
        ValueError: if a probability is not between 0 and 1, a value has another shape than the distribution's, or
            ``unit`` is unknown.

    Example:
        >>> from vi_toolkit import information
        >>> information.information_content(1 / 8, unit="bits").value
        3.0

    Source: Shannon (1948), A mathematical theory of communication, doi:10.1002/j.1538-7305.1948.tb01338.x.
    """
    try:
        probability = np.asarray(event, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"event: expected numbers, got {describe(event)}.") from None
    if distribution is not None:
        check_instance(distribution, Distribution, "distribution", "For instance, numpyro.distributions.Poisson(3.0).")
        shape = distribution.event_shape
        if shape and probability.shape[-len(shape) :] != shape:
            raise ValueError(f"event: expected event shape {shape}, as the distribution has, got {probability.shape}.")
        log_p = np.asarray(log_probs(distribution, jnp.asarray(event)), np.float64)
    else:
        if not ((probability >= 0) & (probability <= 1)).all():
            raise ValueError(
                f"event: expected probabilities between 0 and 1, got {event}. A value needs its distribution."
            )
        with np.errstate(divide="ignore"):
            log_p = np.log(probability)
    return in_unit(Measurement(plain(-log_p + 0.0), plain(np.zeros(log_p.shape)), "exact"), unit)


@dataclass(frozen=True, eq=False)
class CodeLengths:
    """What it costs to write symbols drawn from p with the codes made for q; bits for each symbol.

    Attributes:
        shannon: the mean length with Shannon's code for q: at least H(p, q), and less than 1 / ``block`` above it.
        huffman: with Huffman's code for q, which is the best code for q itself.
        entropy: H(p): no code can do better.
        cross_entropy: H(p, q).
        kl_divergence: D(p‖q) = H(p, q) - H(p): the bits that q's code costs beyond p's, but for rounding to whole bits.
        shannon_code: the word of every symbol (of every block, in order), None where q is 0.
        huffman_code: likewise.
        block: symbols that are written together.

    Example:
        >>> from vi_toolkit import information
        >>> lengths = information.expected_code_length([0.5, 0.25, 0.25])
        >>> lengths.huffman, lengths.huffman_code
        (1.5, ('0', '10', '11'))
    """

    shannon: float
    huffman: float
    entropy: float
    cross_entropy: float
    kl_divergence: float
    shannon_code: tuple[str | None, ...]
    huffman_code: tuple[str | None, ...]
    block: int

    def __str__(self) -> str:
        rows = {
            "entropy H(p)": self.entropy,
            "KL divergence D(p‖q)": self.kl_divergence,
            "cross-entropy H(p, q)": self.cross_entropy,
            "Huffman's code for q": self.huffman,
            "Shannon's code for q": self.shannon,
        }
        together = "" if self.block == 1 else f", blocks of {self.block}"
        return "\n".join([f"bits a symbol{together}", *(f"{name:<22} {value:9.4f}" for name, value in rows.items())])


def expected_code_length(p: Any, q: Any = None, *, block: int = 1) -> CodeLengths:
    r"""Writes symbols drawn from p with real codes made for q: the extra bits are D(p‖q).

    Shannon's code gives a symbol of probability q_i a word of ceil(-log2 q_i) bits; Huffman's has the smallest mean
    length under q. Both are prefix codes. With ``block`` symbols written together, rounding to whole bits costs less
    than 1 / ``block`` bits a symbol, so that the cost of the wrong code tends to D(p‖q).

    Args:
        p: the probabilities that the symbols have.
        q: the probabilities that the code is made for; by default p.
        block: how many independent symbols make one word.

    Returns:
        The lengths, in bits a symbol, and the codes. Infinite where a symbol of p has no word.

    Raises:
        ValueError: if p or q is no probability vector, they differ in length, or there are more than 131,072 blocks.

    Example:
        >>> from vi_toolkit import information
        >>> print(information.expected_code_length([0.5, 0.25, 0.25], [0.25, 0.25, 0.5]))
        bits a symbol
        entropy H(p)              1.5000
        KL divergence D(p‖q)      0.2500
        cross-entropy H(p, q)     1.7500
        Huffman's code for q      1.7500
        Shannon's code for q      1.7500

    Source: Shannon (1948), section 9, doi:10.1002/j.1538-7305.1948.tb01338.x; Huffman (1952), A method for the
    construction of minimum-redundancy codes, doi:10.1109/JRPROC.1952.273898.
    """
    p = as_probabilities(p, "p")
    q = p if q is None else as_probabilities(q, "q")
    block = check_positive_int(block, "block")
    if p.ndim != 1 or p.shape != q.shape:
        raise ValueError(f"q: expected two probability vectors of one length, got shapes {p.shape} and {q.shape}.")
    if block * np.log(len(p)) > np.log(MAX_BLOCKS):
        raise ValueError(f"block: expected at most {MAX_BLOCKS:,} different blocks, got {len(p)} to the {block}.")
    of_p, of_q = (reduce(np.kron, [vector] * block) for vector in (p, q))  # of every block, in order
    shannon, huffman = shannon_code(of_q), huffman_code(of_q)
    return CodeLengths(
        shannon=mean_length(shannon, of_p) / block,
        huffman=mean_length(huffman, of_p) / block,
        entropy=entropy(p, unit="bits").value,
        cross_entropy=cross_entropy(p, q, unit="bits").value,
        kl_divergence=kl_divergence(p, q, unit="bits").value,
        shannon_code=shannon,
        huffman_code=huffman,
        block=block,
    )


def shannon_code(q: np.ndarray) -> tuple[str | None, ...]:
    """Words of ceil(-log2 q_i) bits."""
    with np.errstate(divide="ignore"):
        exact = -np.log2(q)
    lengths = np.ceil(exact - 1e-12)  # not a bit more where -log2 q is whole but for rounding
    return _words(np.maximum(lengths if _fits(lengths) else np.ceil(exact), 1.0))


def _fits(lengths: np.ndarray) -> bool:
    """Kraft's inequality, sum_i 2^(-length_i) <= 1, in whole numbers."""
    whole = [int(length) for length in lengths[np.isfinite(lengths)]]
    longest = max(whole)
    return sum(1 << (longest - length) for length in whole) <= 1 << longest


def huffman_code(q: np.ndarray) -> tuple[str | None, ...]:
    """Joins the two least likely groups of symbols, again and again; each time their words grow by one bit."""
    lengths = np.full(2 * len(q), np.inf)  # of the symbols, and then of the groups in the order they are made
    heap = [(float(q[i]), int(i)) for i in np.flatnonzero(q)]
    heapq.heapify(heap)
    joined: list[tuple[int, int]] = []
    while len(heap) > 1:
        (first, one), (second, other) = heapq.heappop(heap), heapq.heappop(heap)
        heapq.heappush(heap, (first + second, len(q) + len(joined)))
        joined.append((one, other))
    lengths[heap[0][1]] = 0.0 if joined else 1.0  # even the only symbol needs a word
    for number, parts in reversed(list(enumerate(joined))):
        lengths[list(parts)] = lengths[len(q) + number] + 1.0
    return _words(lengths[: len(q)])


def _words(lengths: np.ndarray) -> tuple[str | None, ...]:
    """The prefix code with these lengths whose words are in order: each is the next number, in so many binary digits.

    There is one where the lengths fit together, by Kraft's inequality.
    """
    words: list[str | None] = [None] * len(lengths)
    number, before = 0, 0
    for i in np.argsort(lengths, kind="stable"):
        if np.isfinite(lengths[i]):
            length = int(lengths[i])
            number <<= length - before
            words[i], number, before = f"{number:0{length}b}", number + 1, length
    return tuple(words)


def mean_length(code: tuple[str | None, ...], p: np.ndarray) -> float:
    """sum_i p_i times the length of word i; infinite where a possible symbol has no word."""
    lengths = np.array([np.inf if word is None else len(word) for word in code])
    return float(np.sum(np.where(p > 0.0, p * np.where(p > 0.0, lengths, 0.0), 0.0)))
