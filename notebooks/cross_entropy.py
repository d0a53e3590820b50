# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Cross-entropy, likelihood and KL
#
# Three losses go by different names: the negative log-likelihood, the cross-entropy H(p, q), and the divergence
# D(p‖q). For the empirical distribution p̂ of the data they differ by a constant at most, so that all three lead to
# the same parameters. This notebook shows it on real data, shows where it stops being true, and looks at what
# happens in minibatches.

# %%
from pathlib import Path

import jax
import numpy as np
from IPython.display import Markdown

import vi_toolkit as vi

jax.config.update("jax_enable_x64", True)  # before anything is computed

# %% [markdown]
# ## By hand
#
# Beetles were exposed to eight doses of a poison. For each dose, p̂ is the share that died, and q the probability
# that a model gives to it. The mean over the beetles of -log q is the cross-entropy, and it splits into two parts.

# %%
died, exposed = vi.datasets.BEETLES_KILLED, vi.datasets.BEETLES_EXPOSED
dose = vi.datasets.BEETLES_LOG_DOSE
death = died / exposed
model = 1 / (1 + np.exp(-(0.74 + 2.16 * (dose - dose.mean()) / dose.std())))
p, q = np.stack([1 - death, death], axis=1), np.stack([1 - model, model], axis=1)
weights = exposed / exposed.sum()

nll = -np.sum(died * np.log(model) + (exposed - died) * np.log(1 - model)) / exposed.sum()
print(f"negative log-likelihood  {nll:.12f} nats for each beetle")
print(f"cross-entropy H(p̂, q)    {weights @ vi.information.cross_entropy(p, q).value:.12f}")
print(f"entropy H(p̂)             {weights @ vi.information.entropy(p).value:.12f}")
print(f"divergence D(p̂‖q)        {weights @ vi.information.kl_divergence(p, q).value:.12f}")

# %% [markdown]
# ## On five models
#
# A classifier, a logistic regression on soft targets, a Gaussian regression with its sd fixed and learned, and
# Poisson counts; each is fitted by NLL, by CE and by KL, from different starts, with losses that share no code. Then
# one assumption after another is dropped.

# %%
result = vi.experiments.cross_entropy_and_likelihood()

# %%
Markdown(result.conclusion)

# %%
result.table

# %% [markdown]
# ## In minibatches
#
# It is often said that cross-entropy is more robust than KL in minibatches. For a fixed target the two differ by the
# entropy of the batch's targets, which no parameter can change.

# %%
result = vi.experiments.minibatches(jax.random.key(0))

# %%
Markdown(result.conclusion)

# %%
result.table

# %% [markdown]
# ## In bits
#
# Cross-entropy has a meaning without any learning. A code made for q spends about -log2 q bits on a symbol; when the
# symbols come from p, the mean is H(p, q), and D(p‖q) is what the wrong code costs. Here the symbols are the letters
# of a legal text, this project's licence, and the wrong code is one made for the letters of a Python file.

# %%
letters = " abcdefghijklmnopqrstuvwxyz"


def letters_of(path):
    return [c for c in Path(path).read_text(encoding="utf-8").lower() if c in letters]


licence, program = letters_of("../LICENSE"), letters_of("../vi_toolkit/fit.py")
p, q = (
    np.array([text.count(letter) + 0.5 for letter in letters]) / (len(text) + 0.5 * len(letters))
    for text in (licence, program)
)
print(vi.information.decompose(p, q, unit="bits"))

# %% [markdown]
# Two prefix codes, made for each of the two: Huffman's, and Shannon's with words of ceil(-log2 q) bits. The licence
# is written out with all four, and its bits are counted.

# %%
for name, made_for in {"the licence": p, "the program": q}.items():
    lengths = vi.information.expected_code_length(p, made_for)
    for kind, code in {"Huffman": lengths.huffman_code, "Shannon": lengths.shannon_code}.items():
        written = "".join(code[letters.index(c)] for c in licence)
        expected = {"Huffman": lengths.huffman, "Shannon": lengths.shannon}[kind]
        print(
            f"{kind}'s code for {name}: {len(written):,} bits, {len(written) / len(licence):.4f} a letter "
            f"(expected {expected:.4f}; H(p, q) = {lengths.cross_entropy:.4f})"
        )

# %% [markdown]
# Words have whole bits, and so a code can miss H(p, q) by up to a bit. Writing several letters in one word brings it
# close: the cost of the wrong code is then D(p‖q). Huffman's is the best code for q itself; for symbols of another p
# it can be shorter or longer than H(p, q).

# %%
for block in (1, 2, 3):
    right = vi.information.expected_code_length(p, block=block)
    wrong = vi.information.expected_code_length(p, q, block=block)
    print(
        f"blocks of {block}: Shannon's code for p {right.shannon:.4f}, for q {wrong.shannon:.4f}, difference "
        f"{wrong.shannon - right.shannon:.4f}; D(p‖q) = {wrong.kl_divergence:.4f} bits"
    )
