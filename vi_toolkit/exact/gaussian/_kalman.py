"""The Kalman filter, the smoother of Rauch, Tung and Striebel, and forecasts, all by roots of covariances."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vi_toolkit.exact.gaussian._algebra import Gaussian, condition, gain_and_root, observe


class Chain(NamedTuple):
    """x_1 ~ initial;  x_t | x_(t-1) ~ N(F x_(t-1), Q Q');  y_t | x_t ~ N(H x_t, R R')."""

    transition: np.ndarray  # F, (d, d)
    transition_root: np.ndarray  # Q, (d, d)
    emission: np.ndarray  # H, (p, d)
    emission_root: np.ndarray  # R, (p, p)
    initial: Gaussian


class Filtered(NamedTuple):
    log_evidence: float
    states: list[Gaussian]  # x_t | y_1..y_t ~ N(m_t, P_t P_t')


def kalman_filter(chain: Chain, y: np.ndarray, seen: np.ndarray) -> Filtered:
    """Forward in time through y (T, p), whose row t counts where seen[t]."""
    F, Q, H, R, predicted = chain
    log_evidence, states, still = 0.0, [], np.zeros(len(F))
    for t in range(len(y)):
        state = predicted
        if seen[t]:
            state, log_density = condition(predicted, H, y[t], R)
            log_evidence += log_density
        states.append(state)
        predicted = observe(state, F, still, Q)
    return Filtered(log_evidence, states)


def smooth(chain: Chain, filtered: Filtered) -> Gaussian:
    """All states given all observations, (T d,), backward in time.

    Given x_(t+1), x_t is m_t + J_t (x_(t+1) - F m_t) + C_t e_t with e_t ~ N(0, I), so that row t of a joint root is
    J_t times row t+1, with C_t on the diagonal.
    """
    T, d = len(filtered.states), len(chain.initial.mean)
    mean, root = np.empty((T, d)), np.zeros((T, d, T, d))
    mean[-1], root[-1, :, -1] = filtered.states[-1]
    for t in reversed(range(T - 1)):
        m, P = filtered.states[t]
        J, C = gain_and_root(P, chain.transition, chain.transition_root)
        mean[t] = m + J @ (mean[t + 1] - chain.transition @ m)
        root[t] = np.tensordot(J, root[t + 1], axes=1)
        root[t, :, t] = C
    return Gaussian(mean.ravel(), root.reshape(T * d, T * d))


def forecast(chain: Chain, last: Gaussian, steps: int) -> Gaussian:
    """The next observations y_(T+1)..y_(T+steps), (steps p,), from the state x_T given all observations."""
    F, Q, H, R, _ = chain
    p, d = H.shape
    x = Gaussian(last.mean, np.zeros((d, (1 + steps) * d)))
    x.root[:, :d] = last.root
    mean, root = np.empty((steps, p)), np.zeros((steps, p, (1 + steps) * d + steps * p))
    for k in range(steps):
        x = Gaussian(F @ x.mean, F @ x.root)
        x.root[:, (1 + k) * d : (2 + k) * d] = Q
        mean[k], root[k, :, : (1 + steps) * d] = H @ x.mean, H @ x.root
        noise = (1 + steps) * d + k * p
        root[k, :, noise : noise + p] = R
    return Gaussian(mean.ravel(), root.reshape(steps * p, -1))
