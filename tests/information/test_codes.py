"""Codes: prefix-free, within their bounds, the best by brute force, and on real pixels, counted bit by bit."""

from itertools import pairwise, product

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from hypothesis import given, settings
from scipy import stats
from sklearn.datasets import load_digits

from tests.information.strategies import vectors
from vi_toolkit import information
from vi_toolkit.information.coding import huffman_code, mean_length, shannon_code


def check_code(words, q):
    """A word for every possible symbol, none the beginning of another, and Kraft's inequality."""
    assert [word is not None for word in words] == list(q > 0)
    present = sorted(word for word in words if word is not None)
    assert all(set(word) <= {"0", "1"} and word for word in present)
    assert not any(later.startswith(earlier) for earlier, later in pairwise(present))  # in order, these suffice
    longest = max(map(len, present))
    assert sum(1 << (longest - len(word)) for word in present) <= 1 << longest


@settings(max_examples=150)
@given(vectors())
def test_both_codes_of_any_pair(pair):
    p, q = pair
    lengths = information.expected_code_length(p, q)
    check_code(lengths.shannon_code, q)
    check_code(lengths.huffman_code, q)
    own = information.expected_code_length(q)
    single = np.sum(q > 0) == 1
    slack = 1e-12
    assert own.entropy - slack <= own.huffman <= own.shannon + slack
    assert own.shannon < own.entropy + 1 + slack
    assert own.huffman < own.entropy + 1 + slack or single
    if np.isfinite(lengths.cross_entropy):
        assert lengths.cross_entropy - slack <= lengths.shannon < lengths.cross_entropy + 1 + slack
        assert lengths.cross_entropy == pytest.approx(lengths.entropy + lengths.kl_divergence, abs=1e-11)
        assert lengths.huffman >= lengths.entropy - slack
    else:
        assert lengths.shannon == lengths.huffman == lengths.kl_divergence == np.inf


def best_mean_length(q):
    """The smallest mean length of any prefix code: over all lengths that Kraft's inequality allows."""
    n = len(q)
    return min(
        np.dot(q, lengths) for lengths in product(range(1, n), repeat=n) if sum(2.0 ** -np.array(lengths, float)) <= 1.0
    )


@settings(max_examples=40)
@given(vectors(count=1, size=5, zeros=False))
def test_huffman_is_the_best_by_brute_force(one):
    (q,) = one
    assert mean_length(huffman_code(q), q) == pytest.approx(best_mean_length(q), rel=1e-12)


@pytest.mark.parametrize(
    "q",
    [
        [0.5, 0.25, 0.125, 0.125],
        [0.25, 0.25, 0.25, 0.25],
        [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.03125],
    ],
)
def test_powers_of_two_cost_their_entropy(q):
    lengths = information.expected_code_length(q)
    assert lengths.huffman == lengths.shannon == pytest.approx(lengths.entropy, rel=1e-14)
    assert lengths.kl_divergence == 0.0


def test_known_words():
    lengths = information.expected_code_length([0.4, 0.3, 0.2, 0.1])
    assert lengths.huffman_code == ("0", "10", "110", "111")
    assert lengths.huffman == pytest.approx(1.9)
    assert lengths.shannon_code == ("00", "01", "100", "1010")
    assert lengths.shannon == pytest.approx(2.4)
    zeros = information.expected_code_length([0.5, 0.0, 0.5])
    assert zeros.huffman_code == ("0", None, "1")


def test_one_symbol_needs_one_bit():
    for q in ([1.0], [0.0, 1.0]):
        lengths = information.expected_code_length(q)
        assert (lengths.huffman, lengths.shannon, lengths.entropy) == (1.0, 1.0, 0.0)
        check_code(lengths.huffman_code, np.array(q))
    assert information.expected_code_length([1.0], block=4).huffman == 0.25


def test_rounding_never_breaks_a_code():
    """A probability a little below a half rounds to a word of one bit; then there is no room for a third word."""
    tiny = 2.5e-13
    q = np.array([0.5 - tiny, 0.5 - tiny, 2 * tiny])
    check_code(shannon_code(q), q)
    near = np.full(4, 0.25) - np.array([1, -1, 1, -1]) * 1e-16
    assert [len(word) for word in shannon_code(near)] == [2, 2, 2, 2]
    check_code(shannon_code(np.array([1.0 - 1e-15, 1e-15])), np.ones(2))


def test_blocks_tend_to_the_entropy():
    p = [0.9, 0.1]
    found = [information.expected_code_length(p, block=block) for block in (1, 2, 4, 8, 12)]
    entropy = found[0].entropy
    assert entropy == pytest.approx(stats.entropy(p, base=2), rel=1e-14)
    extra = np.array([each.huffman - entropy for each in found])
    assert (extra >= 0).all()
    assert (extra <= 1.0 / np.array([1, 2, 4, 8, 12])).all()
    assert extra[-1] < 0.01 < 0.5 < extra[0]
    blocks = np.array([0.81, 0.09, 0.09, 0.01])  # in the order 00, 01, 10, 11
    assert found[1].huffman == pytest.approx(mean_length(huffman_code(blocks), blocks) / 2)
    for each, block in zip(found, (1, 2, 4, 8, 12), strict=True):
        assert entropy <= each.shannon < entropy + 1.0 / block
        assert len(each.huffman_code) == 2**block


def test_the_wrong_code_costs_the_divergence():
    p, q = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])
    kl = information.kl_divergence(p, q, unit="bits").value
    extra = []
    for block in (1, 3, 8):
        right, wrong = information.expected_code_length(p, block=block), information.expected_code_length(
            p, q, block=block
        )  # fmt: skip
        extra.append(wrong.shannon - right.entropy)
        assert kl <= extra[-1] < kl + 1.0 / block
        assert wrong.huffman >= right.huffman
    assert extra[-1] == pytest.approx(kl, abs=0.1)


def test_real_pixels_bit_by_bit():
    """The grey levels of handwritten ones, written with the code of the eights: each level and bit is counted."""
    digits = load_digits()
    levels = [digits.images[digits.target == digit].astype(int).ravel() for digit in (1, 8)]
    counts = [np.bincount(each, minlength=17) for each in levels]
    ones, eights = (each / each.sum() for each in counts)
    assert (eights > 0).all()
    lengths = information.expected_code_length(ones, eights)
    for words, expected in (
        (lengths.huffman_code, lengths.huffman),
        (lengths.shannon_code, lengths.shannon),
    ):
        written = "".join(words[level] for level in levels[0])
        assert len(written) == pytest.approx(expected * len(levels[0]), rel=1e-12)
        assert decoded(written, words) == levels[0].tolist()
    own = information.expected_code_length(ones)
    written = "".join(own.huffman_code[level] for level in levels[0])
    assert len(written) < len("".join(lengths.huffman_code[level] for level in levels[0]))
    assert own.entropy <= len(written) / len(levels[0]) < own.entropy + 1
    assert lengths.shannon - own.entropy >= lengths.kl_divergence > 0


def decoded(bits, words):
    symbols, found, word = {word: i for i, word in enumerate(words)}, [], ""
    for bit in bits:
        word += bit
        if word in symbols:
            found.append(symbols[word])
            word = ""
    assert word == ""
    return found


def test_many_blocks_are_quick():
    lengths = information.expected_code_length([0.999, 0.001], block=14)
    assert lengths.entropy <= lengths.huffman < lengths.entropy + 1 / 14
    check_code(lengths.huffman_code, np.ones(2**14))


def test_the_table():
    text = str(information.expected_code_length([0.5, 0.25, 0.25], [0.25, 0.25, 0.5], block=2))
    assert text.splitlines()[0] == "bits a symbol, blocks of 2"
    assert text.splitlines()[2] == "KL divergence D(p‖q)      0.2500"


def test_information_content():
    content = information.information_content
    np.testing.assert_allclose(content([1.0, 0.5, 0.125], unit="bits").value, [0.0, 1.0, 3.0])
    assert content(1e-3, unit="bans").value == pytest.approx(3.0)
    assert content(0.0).value == np.inf
    found = content(jnp.array([0, 2, 7]), dist.Poisson(2.0))
    np.testing.assert_allclose(found.value, -stats.poisson(2.0).logpmf([0, 2, 7]), rtol=1e-12)
    assert found.se.shape == (3,)
    assert content(-1.0, dist.Exponential(1.0)).value == np.inf
    assert content(2.0, dist.Normal(0.0, 1.0)).value == pytest.approx(-stats.norm.logpdf(2.0))
    vector = content(np.array([0.2, 0.3, 0.5]), dist.Dirichlet(jnp.ones(3)))
    assert vector.value == pytest.approx(-np.log(2.0))
    p = np.array([0.1, 0.2, 0.7])  # the mean surprise is the entropy
    assert p @ content(p).value == pytest.approx(information.entropy(p).value)
    x = np.arange(60)
    mean = np.sum(stats.poisson(2.0).pmf(x) * content(x, dist.Poisson(2.0)).value)
    assert mean == pytest.approx(information.entropy(dist.Poisson(2.0)).value, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: information.information_content(1.5), ValueError, "event: expected probabilities between 0 and 1"),
        (lambda: information.information_content(-0.1), ValueError, "event: expected probabilities between 0 and 1"),
        (lambda: information.information_content(np.nan), ValueError, "event: expected probabilities between 0 and 1"),
        (lambda: information.information_content("heads"), TypeError, "event: expected numbers, got str 'heads'"),
        (lambda: information.information_content(0.5, unit="bit"), ValueError, "unit: expected one of 'nats', 'bits'"),
        (
            lambda: information.information_content(0.5, dist.Dirichlet(jnp.ones(3))),
            ValueError,
            r"event: expected event shape \(3,\)",
        ),
        (lambda: information.expected_code_length([0.5, 0.6]), ValueError, "p: expected probabilities that sum to 1"),
        (lambda: information.expected_code_length([0.5, 0.5], [1.0]), ValueError, "of one length, got shapes"),
        (lambda: information.expected_code_length([[0.5, 0.5]]), ValueError, "of one length"),
        (lambda: information.expected_code_length([0.5, 0.5], block=0), ValueError, "block: expected at least 1"),
        (lambda: information.expected_code_length([0.5, 0.5], block=18), ValueError, "at most 131,072 different"),
        (lambda: information.expected_code_length(dist.Poisson(1.0)), TypeError, "p: expected a probability vector"),
    ],
)  # fmt: skip
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_class_is_no_distribution(without_type_checks):
    with pytest.raises(TypeError, match="distribution: expected a Distribution, got the class Normal itself"):
        information.information_content(0.5, dist.Normal)
