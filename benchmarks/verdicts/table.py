"""The records of the bench as a page: how often the verdict was wrong, by cause."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchmarks.__main__ import machine, markdown
from benchmarks.verdicts.cases import RIGHT
from benchmarks.verdicts.run import MEAN_LIMIT, SD_LIMIT

SAID = {
    "GOOD": "good",
    "USABLE_AFTER_REWEIGHTING": "usable",
    "CANNOT_TELL": "cannot tell",
    "NOT_TRUSTED": "not trusted",
    "REFUSED": "refused",
}
KHAT_LIMIT = 0.7
TITLES = {
    "settled_on": "The cases by which the rules were settled",
    "held_out": "Cases held out: seeds, faults and posteriors that had no say in the rules",
}
INTRODUCTION = """\
# How often the verdict is wrong

Written by `make verdicts`. Every fit is of a posterior that is known, and `vi.diagnose` judges it
without being shown that posterior. A fit is right in truth where no mean is off by more than {mean} posterior
standard deviations and no standard deviation by more than {sd:.0%}, of the coordinates of R^dim and of the model's own
sites. *False good*: called good and not right, or usable after reweighting and still not right after `vi.reweight`.
*False alarm*: right, and not trusted or refused. Beside it NumPyro's `psis_diagnostic` (1,000 draws, as documented)
with the limit 0.7; its *false good* are fits that pass and are wrong both as they are and after reweighting, its *false
alarms* fits that are right and fail.
"""


def false_good(record: dict[str, Any]) -> bool:
    """Called good though it is not, or usable after reweighting though reweighting does not mend it."""
    good_but_bad = record["verdict"] == "GOOD" and not record["good"]
    return good_but_bad or (record["verdict"] == "USABLE_AFTER_REWEIGHTING" and not record["mended"])


def false_alarm(record: dict[str, Any]) -> bool:
    """Not to be trusted, or refused, though its means and sds are right."""
    return bool(record["good"]) and record["verdict"] in ("NOT_TRUSTED", "REFUSED")


def numpyro_passes(record: dict[str, Any]) -> bool:
    """Whether NumPyro's k-hat is below 0.7."""
    return record.get("numpyro_khat") is not None and record["numpyro_khat"] < KHAT_LIMIT


def numpyro_false_good(record: dict[str, Any]) -> bool:
    """Passes by k-hat, though means and sds are off both as they are and after reweighting."""
    return numpyro_passes(record) and not record["good"] and not record["mended"]


def numpyro_false_alarm(record: dict[str, Any]) -> bool:
    """Fails by k-hat, though means and sds are right."""
    return bool(record["good"]) and not numpyro_passes(record)


def by_cause(records: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each cause, and one for all."""
    causes = list(dict.fromkeys(record["cause"] for record in records))
    rows = [_row(cause, [record for record in records if record["cause"] == cause]) for cause in causes]
    return pd.DataFrame([*rows, _row("all", records)])


def _row(cause: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    passed = [record for record in records if record["verdict"] != "REFUSED"]
    return {
        "cause": cause,
        "fits": len(records),
        "right in truth": sum(record["good"] for record in records),
        **{words: sum(record["verdict"] == name for record in records) for name, words in SAID.items()},
        "false good": sum(map(false_good, records)),
        "false alarms": sum(map(false_alarm, records)),
        "NumPyro k-hat < 0.7": sum(map(numpyro_passes, passed)),
        "its false good": sum(map(numpyro_false_good, passed)),
        "its false alarms": sum(map(numpyro_false_alarm, passed)),
    }


def page(records: dict[str, Any]) -> str:
    """The whole page, from the records of the two sets of cases, and a ``note`` on a run that is not the latest."""
    parts = [INTRODUCTION.format(mean=MEAN_LIMIT, sd=SD_LIMIT), machine()]
    if records.get("note"):
        parts += ["", records["note"]]
    for name, title in TITLES.items():
        if records.get(name):
            parts += ["", f"## {title}", "", *_section(records[name])]
    for name, title in TITLES.items():
        if records.get(name):
            every = pd.DataFrame([_short(record) for record in records[name]])
            parts += ["", f"## Every fit: {title[0].lower()}{title[1:]}", "", markdown(every)]
    return "\n".join(parts) + "\n"


def _section(records: list[dict[str, Any]]) -> list[str]:
    wrong = [record for record in records if false_good(record) or false_alarm(record)]
    right = sum(record["good"] for record in records)
    alarms = sum(map(false_alarm, records))
    of_family = [record for record in records if record["cause"] == RIGHT]
    cautious = sum(record["good"] and record["verdict"] == "USABLE_AFTER_REWEIGHTING" for record in records)
    parts = [
        f"**{len(records)} fits; false good: {sum(map(false_good, records))}; false alarms: {alarms} of {right} "
        f"that are right ({alarms / max(right, 1):.1%}). {cautious} of the right ones were called usable after "
        f"reweighting. Of {len(of_family)} fits by the right family, {sum(map(false_alarm, of_family))} were false "
        "alarms.**",
        "",
        *_bound(len(records) - right, sum(map(false_good, records))),
        markdown(by_cause(records)),
    ]
    if wrong:
        parts += ["", "Where it was wrong:", "", markdown(pd.DataFrame([_short(record) for record in wrong]))]
    return parts


def _bound(wrong: int, false_goods: int) -> list[str]:
    """What none of so many says of the rate: (1 - rate)^wrong = 5 %."""
    if false_goods or not wrong:
        return []
    most = 1 - 0.05 ** (1 / wrong)
    return [f"None of {wrong} wrong fits: of such fits, fewer than {most:.1%} (95 % confidence).", ""]


def _short(record: dict[str, Any]) -> dict[str, Any]:
    def number(name: str) -> str:
        return f"{record[name]:.2g}" if record.get(name) is not None else ""

    return {
        "fit": record["case"],
        "cause": record["cause"],
        "seed": record["seed"],
        "verdict": SAID.get(record["verdict"], record["verdict"].lower()),
        "mean off (sd)": number("mean_error"),
        "sd off": number("sd_error"),
        "mean off, reweighted": number("mended_mean_error"),
        "sd off, reweighted": number("mended_sd_error"),
        "k-hat": number("khat"),
        "draws": record.get("num_draws", ""),
        "NumPyro's k-hat": number("numpyro_khat"),
    }
