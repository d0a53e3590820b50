"""What the verdict bench counts as wrong, on made-up records; that its cases are as many, and as mixed, as it says."""

import pytest

from benchmarks.verdicts.cases import cases, held_out
from benchmarks.verdicts.table import (
    by_cause,
    false_alarm,
    false_good,
    numpyro_false_alarm,
    numpyro_false_good,
    page,
)

RECORD = {"case": "a", "cause": "none", "seed": 0, "verdict": "GOOD", "good": True, "mended": True, "numpyro_khat": 0.1}


def record(**changes):
    return RECORD | changes


@pytest.mark.parametrize(
    ("changes", "good", "alarm"),
    [
        ({}, False, False),
        ({"good": False}, True, False),
        ({"good": False, "verdict": "USABLE_AFTER_REWEIGHTING"}, False, False),
        ({"mended": False, "verdict": "USABLE_AFTER_REWEIGHTING"}, True, False),
        ({"good": False, "mended": False, "verdict": "NOT_TRUSTED"}, False, False),
        ({"verdict": "NOT_TRUSTED"}, False, True),
        ({"verdict": "REFUSED"}, False, True),
        ({"verdict": "CANNOT_TELL", "good": False}, False, False),
    ],
)
def test_what_is_wrong(changes, good, alarm):
    assert (false_good(record(**changes)), false_alarm(record(**changes))) == (good, alarm)


@pytest.mark.parametrize(
    ("changes", "good", "alarm"),
    [
        ({}, False, False),
        ({"numpyro_khat": 0.8}, False, True),
        ({"numpyro_khat": float("nan")}, False, True),
        ({"good": False}, False, False),  # reweighting mends it
        ({"good": False, "mended": False}, True, False),
        ({"good": False, "mended": False, "numpyro_khat": 0.8}, False, False),
    ],
)
def test_what_is_wrong_of_numpyros_khat(changes, good, alarm):
    assert (numpyro_false_good(record(**changes)), numpyro_false_alarm(record(**changes))) == (good, alarm)


def test_the_page_counts():
    records = [record(), record(good=False, cause="funnel"), record(verdict="NOT_TRUSTED")]
    table = by_cause(records).set_index("cause")
    columns = ["fits", "right in truth", "good", "false good", "false alarms"]
    assert table.loc["all", columns].tolist() == [3, 2, 2, 1, 1]
    assert table.loc["funnel", "false good"] == 1
    assert "**3 fits; false good: 1; false alarms: 1 of 2 that are right (50.0%)." in page({"settled_on": records})


def test_there_are_enough_cases_of_every_kind():
    fits = [case.cause for case in cases() for _ in case.seeds]
    assert len(fits) >= 120
    assert 0.4 < sum(cause.startswith("none") for cause in fits) / len(fits) < 0.6
    wanted = (
        "missed mode 50/50", "missed mode 70/30", "missed mode 95/5", "too narrow", "too wide", "biased", "heavy tails",
        "funnel", "banana", "unconverged", "wrong support", "broadcasting bug", "float32 breakdown",
        "near-singular posterior",
    )  # fmt: skip
    assert set(wanted) <= set(fits)
    named = {(case.name, seed) for case in cases() for seed in case.seeds}
    assert not named & {(case.name, seed) for case in held_out() for seed in case.seeds}


def test_the_page_says_what_none_of_so_many_means():
    of_59 = page({"settled_on": [record(good=False, mended=False, verdict="NOT_TRUSTED")] * 59})
    assert "None of 59 wrong fits: of such fits, fewer than 5.0% (95 % confidence)." in of_59
    assert "95 % confidence" not in page({"settled_on": [record(good=False)]})
