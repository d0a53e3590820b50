"""Time to accuracy: seconds of the fits that come near the best full-rank Gaussian, against the fastest peer's."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, inf, log
from statistics import median
from typing import Any

from benchmarks.posteriordb.records import Records

NUTS, OPTIMUM = "numpyro/NUTS", "yardstick/full-rank optimum"
NEAR = 0.05  # nats above the best full-rank Gaussian


def optima(records: Records) -> dict[str, float]:
    """{target: D(q‖p) of the best full-rank Gaussian}, where it was looked for."""
    return {
        target: value for target in _targets(records) if (value := divergence(records, OPTIMUM, target)) is not None
    }


def divergence(records: Records, method: str, target: str) -> float | None:
    """The median D(q‖p) over seeds, a failed fit counting as infinite; None where there is none."""
    fits = [record for key, record in records.fits.items() if key[:2] == (method, target)]
    found = [float(r["reverse_kl"]) if r["status"] == "ok" else inf for r in fits if _counts(r)]
    return median(found) if found else None


def is_near(record: dict[str, Any], best: dict[str, float]) -> bool:
    """Whether a fit is at most `NEAR` nats above the best full-rank Gaussian."""
    known = record["status"] == "ok" and record.get("reverse_kl") is not None and record["target"] in best
    return known and float(record["reverse_kl"]) <= best[record["target"]] + NEAR


def ratios(records: Records, ours: Iterable[str], peers: Iterable[str]) -> list[list[str]]:
    """A row for each of ours: on how many posteriors it comes near, and geometric means of ratios of seconds."""
    best, peers, rows = optima(records), list(peers), []
    for method in ours:
        near = [target for target in best if _near(records, method, target, best)]
        row = [method, f"{len(near)} of {len(best)}"]
        for kind in ("cold", "warm"):
            fastest = {target: _fastest(records, peers, target, kind, best) for target in near}
            row.append(_mean_ratio(records, method, fastest, kind))
        row.append(_mean_ratio(records, method, {t: seconds(records, NUTS, t, "warm") for t in near}, "warm"))
        rows.append(row)
    return rows


def seconds(records: Records, method: str, target: str, kind: str) -> float | None:
    """The median over seeds, or None."""
    fits = [record for key, record in records.fits.items() if key[:2] == (method, target)]
    found = [r[f"{kind}_seconds"] for r in fits if r["status"] == "ok" and f"{kind}_seconds" in r]
    return median(found) if found else None


def _near(records: Records, method: str, target: str, best: dict[str, float]) -> bool:
    value = divergence(records, method, target)
    return value is not None and value <= best[target] + NEAR


def _fastest(records: Records, peers: list[str], target: str, kind: str, best: dict[str, float]) -> float | None:
    near = [name for name in peers if _near(records, name, target, best)]
    found = [value for name in near if (value := seconds(records, name, target, kind)) is not None]
    return min(found) if found else None


def _mean_ratio(records: Records, method: str, others: dict[str, float | None], kind: str) -> str:
    pairs = [(seconds(records, method, target, kind), other) for target, other in others.items()]
    logs = [log(mine / other) for mine, other in pairs if mine is not None and other is not None]
    return f"{exp(sum(logs) / len(logs)):.2g} ({len(logs)})" if logs else "–"


def _counts(record: dict[str, Any]) -> bool:
    return record["status"] == "failed" or record.get("reverse_kl") is not None


def _targets(records: Records) -> list[str]:
    return sorted({key[1] for key in records.fits if key[0] == OPTIMUM})
