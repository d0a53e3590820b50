"""The rules, case by case, on made-up evidence."""

import dataclasses

import numpy as np
import pytest

from vi_toolkit.diagnostics import Distances, Estimate, Evidence, Measured, Searched, Verdict, judge
from vi_toolkit.diagnostics.judge import settled


def measured(*values: float, se: float = 0.001) -> Measured:
    return Measured(np.array(values), np.full(len(values), se))


def distances(mean: float = 0.0, spread: float = 0.0, mass: float | None = None, se: float = 0.001) -> Distances:
    modes = None if mass is None else measured(mass, -mass, se=se)
    return Distances(measured(0.0, mean, se=se), measured(spread, 0.0, se=se), modes)


GOOD = Evidence(
    converged=True,
    status="it stands still",
    khat=0.2,
    ess=3700.0,
    num_draws=4000,
    num_zero=0,
    num_bad=0,
    reverse_kl=Estimate(0.01, 0.001),
    moves=distances(),
    searched=Searched(0.1, distances(), distances()),
)
REFERENCE = dataclasses.replace(
    GOOD, measured=distances(mass=0.0), reweighted=distances(mass=0.0), forward_kl=Estimate(0.01, 0.001)
)


def names(evidence: Evidence, **changes) -> dict[str, str]:
    judgement = judge(dataclasses.replace(evidence, **changes))
    return {"whole": judgement.verdict.name} | {name: verdict.name for name, verdict in judgement.verdicts.items()}


def test_good_without_a_reference():
    assert names(GOOD) == dict.fromkeys(("whole", "means", "spreads", "tails", "modes"), "GOOD")


def test_where_nothing_was_looked_for_the_modes_are_open_and_so_is_the_whole():
    unsearched = dataclasses.replace(GOOD, searched=None)
    assert names(unsearched) == dict.fromkeys(("means", "spreads", "tails"), "GOOD") | dict.fromkeys(
        ("whole", "modes"), "CANNOT_TELL"
    )
    assert "whether a mode is missed cannot be told" in judge(unsearched).sentence
    assert names(unsearched, khat=0.6)["whole"] == "CANNOT_TELL"
    assert names(unsearched, khat=0.8)["whole"] == "NOT_TRUSTED"


def test_a_fit_that_diverged_is_never_good():
    assert names(GOOD, diverged=True)["whole"] == "CANNOT_TELL"
    assert names(GOOD, diverged=True, khat=0.8)["whole"] == "NOT_TRUSTED"


def test_good_with_a_reference():
    assert set(names(REFERENCE).values()) == {"GOOD"}
    assert "cannot" not in judge(REFERENCE).sentence


@pytest.mark.parametrize(
    ("changes", "part", "whole"),
    [
        ({"khat": 0.49}, "tails", "GOOD"),
        ({"khat": 0.5}, "tails", "USABLE_AFTER_REWEIGHTING"),
        ({"khat": 0.69}, "tails", "USABLE_AFTER_REWEIGHTING"),
        ({"khat": 0.7}, "tails", "NOT_TRUSTED"),
        ({"khat": np.inf}, "tails", "NOT_TRUSTED"),
        ({"khat": 4.0}, "tails", "NOT_TRUSTED"),
        ({"khat": -np.inf}, "tails", "GOOD"),
        ({"num_zero": 3}, "tails", "USABLE_AFTER_REWEIGHTING"),
        ({"reverse_kl": Estimate(5.0, 0.1)}, "tails", "USABLE_AFTER_REWEIGHTING"),
        ({"reverse_kl": Estimate(0.6, 0.1)}, "tails", "GOOD"),  # not shown to be above 0.5
        ({"reverse_kl": Estimate(0.6, 0.04)}, "tails", "USABLE_AFTER_REWEIGHTING"),
        ({"reverse_kl": Estimate(np.inf, np.inf)}, "tails", "USABLE_AFTER_REWEIGHTING"),
        ({"moves": distances(mean=0.11)}, "means", "USABLE_AFTER_REWEIGHTING"),
        ({"moves": distances(mean=-0.11)}, "means", "USABLE_AFTER_REWEIGHTING"),
        ({"moves": distances(mean=0.11, se=0.02)}, "means", "USABLE_AFTER_REWEIGHTING"),
        ({"moves": distances(mean=0.07, se=0.02)}, "means", "USABLE_AFTER_REWEIGHTING"),  # not shown to be below 0.1
        ({"moves": distances(mean=0.05, se=0.02)}, "means", "GOOD"),
        ({"moves": distances(spread=0.11)}, "spreads", "USABLE_AFTER_REWEIGHTING"),
        ({"moves": distances(spread=-0.11)}, "spreads", "USABLE_AFTER_REWEIGHTING"),
    ],
)
def test_without_a_reference(changes, part, whole):
    found = names(GOOD, **changes)
    assert (found[part], found["whole"]) == (whole, whole)
    assert found["modes"] == "GOOD"


def test_weights_that_are_of_no_use_cannot_clear_the_moments():
    uneven = Searched(0.9, distances(), distances())
    found = names(GOOD, khat=0.9, searched=uneven)
    assert (found["means"], found["spreads"], found["whole"]) == ("CANNOT_TELL", "CANNOT_TELL", "NOT_TRUSTED")
    assert names(GOOD, khat=0.9, searched=uneven, moves=distances(spread=1.0))["spreads"] == "NOT_TRUSTED"


def test_moves_with_too_large_an_error_cannot_be_told():
    assert names(GOOD, moves=distances(se=0.06))["means"] == "CANNOT_TELL"


@pytest.mark.parametrize("evidence", [GOOD, REFERENCE])
def test_what_did_not_converge_is_not_good(evidence):
    assert names(evidence, converged=False)["whole"] == "USABLE_AFTER_REWEIGHTING"
    assert names(evidence, converged=False, khat=0.8)["whole"] == "NOT_TRUSTED"
    assert "did not converge (it stands still)" in judge(dataclasses.replace(evidence, converged=False)).sentence


@pytest.mark.parametrize(
    ("errors", "part"),
    [
        (distances(mean=0.12, mass=0.0), "means"),
        (distances(mean=-0.12, mass=0.0), "means"),
        (distances(spread=0.12, mass=0.0), "spreads"),
        (distances(spread=-0.12, mass=0.0), "spreads"),
        (distances(mass=0.03), "modes"),
        (distances(mass=-0.03), "modes"),
    ],
)
def test_a_reference_that_shows_an_error_overrides_khat(errors, part):
    mended = names(REFERENCE, measured=errors)
    assert mended[part] == mended["whole"] == "USABLE_AFTER_REWEIGHTING"
    not_mended = names(REFERENCE, measured=errors, reweighted=errors)
    assert not_mended[part] == not_mended["whole"] == "NOT_TRUSTED"
    no_weights = names(REFERENCE, measured=errors, khat=0.8)
    assert no_weights[part] == no_weights["whole"] == "NOT_TRUSTED"


def test_errors_that_are_not_shown_do_not_count():
    assert names(REFERENCE, measured=distances(mean=0.12, se=0.03))["means"] == "GOOD"
    assert names(REFERENCE, measured=distances(mass=0.0, se=0.015))["modes"] == "CANNOT_TELL"


def test_what_the_reference_does_not_know_cannot_be_told():
    found = names(REFERENCE, measured=Distances(), reweighted=Distances())
    assert [found[part] for part in ("means", "spreads", "modes")] == ["CANNOT_TELL"] * 3
    assert found["whole"] == "CANNOT_TELL"  # the tails alone are not enough


def test_errors_that_are_nan_cannot_be_told():
    assert names(REFERENCE, measured=distances(mean=np.nan))["means"] == "CANNOT_TELL"


@pytest.mark.parametrize(
    ("evidence", "changes", "said"),
    [
        (GOOD, {}, "Good: k-hat is 0.20, 92 % of the draws are effective"),
        (GOOD, {"khat": -np.inf}, "all importance weights are the same"),
        (GOOD, {"khat": 0.9}, "k-hat is 0.90 (not below 0.7: the weights are too uneven to correct by)"),
        (GOOD, {"num_zero": 7}, "7 of 4000 draws lie where the posterior is zero"),
        (GOOD, {"num_bad": 2, "khat": np.inf}, "2 of 4000 draws have no usable log density"),
        (GOOD, {"moves": distances(mean=0.3, spread=-0.5)}, "means by up to 0.3 sd, and spreads by up to -39 %"),
        (GOOD, {"reverse_kl": Estimate(5.0, 0.1)}, "D(q||p) is about 5 nats"),
        (REFERENCE, {"measured": distances(mean=2.0, spread=3.0, mass=0.4)}, "off by up to 2 sd"),
        (REFERENCE, {"measured": distances(mean=2.0, spread=3.0, mass=0.4)}, "a factor of up to 20"),
        (REFERENCE, {"measured": distances(mass=0.4)}, "the mass at a mode by up to 0.4"),
        (REFERENCE, {"reverse_kl": Estimate(0.69, 0.01)}, "D(q||p) is 0.69 nats"),
        (REFERENCE, {"forward_kl": Estimate(15.4, 0.01)}, "D(p||q) is 15 nats"),
    ],
)
def test_the_sentence_states_the_evidence(evidence, changes, said):
    assert said in judge(dataclasses.replace(evidence, **changes)).sentence


def test_the_words_of_the_verdicts():
    assert [verdict.value for verdict in Verdict] == [
        "good",
        "usable after reweighting",
        "not to be trusted",
        "cannot tell",
    ]


NEARLY_EVEN = {"khat": 4.0, "ess": 3900.0, "reverse_kl": Estimate(0.01, 0.001)}


def test_a_large_khat_of_weights_that_are_nearly_alike_leaves_the_tails_untold():
    judgement = judge(dataclasses.replace(GOOD, **NEARLY_EVEN))
    names = {part: verdict.name for part, verdict in judgement.verdicts.items()}
    assert names == {"means": "GOOD", "spreads": "GOOD", "tails": "CANNOT_TELL", "modes": "GOOD"}
    assert judgement.verdict.name == "GOOD"
    assert "tails cannot be told" in judgement.sentence


@pytest.mark.parametrize(
    "spoilt",
    [{"ess": 3790.0}, {"reverse_kl": Estimate(0.049, 0.001)}, {"num_zero": 1}, {"num_bad": 1}],
    ids=["uneven", "gap", "zero", "bad"],
)
def test_and_not_of_weights_that_are_less_alike(spoilt):
    judgement = judge(dataclasses.replace(GOOD, **{**NEARLY_EVEN, **spoilt}))
    assert judgement.verdict.name == "NOT_TRUSTED"


def test_even_weights_that_move_a_mean_are_not_good():
    judgement = judge(dataclasses.replace(GOOD, **NEARLY_EVEN, moves=distances(mean=0.2)))
    assert judgement.verdicts["means"].name == "USABLE_AFTER_REWEIGHTING"


def searched(khat: float = 0.1, mean: float = 0.0, mass: float | None = None, left: float = 0.0, **others) -> Searched:
    moves, remains = distances(mean=mean, mass=mass), distances(mean=left, mass=None if mass is None else left)
    return Searched(khat, moves, remains, beyond=others.pop("beyond", Estimate(0.0, 0.001)), **others)


@pytest.mark.parametrize(
    ("found", "changes", "part", "verdict"),
    [
        (searched(), {}, "modes", "GOOD"),
        (searched(khat=0.7), {}, "modes", "CANNOT_TELL"),
        (searched(missed=("5 % at z = 3",)), {}, "modes", "NOT_TRUSTED"),
        (searched(khat=0.9, missed=("5 % at z = 3",)), {}, "modes", "NOT_TRUSTED"),
        (searched(mass=0.04), {}, "modes", "GOOD"),
        (searched(mass=0.06), {}, "modes", "USABLE_AFTER_REWEIGHTING"),
        (searched(mass=0.06, left=0.06), {}, "modes", "NOT_TRUSTED"),
        (searched(mass=0.06), {"khat": 0.8}, "modes", "NOT_TRUSTED"),
        (searched(mean=0.2), {}, "means", "USABLE_AFTER_REWEIGHTING"),
        (searched(mean=0.2, left=0.2), {}, "means", "NOT_TRUSTED"),
        (searched(mean=0.2, khat=0.8), {}, "means", "GOOD"),  # its numbers do not count
        (searched(), {"khat": 0.8}, "means", "GOOD"),  # where q's own weights are too uneven, the search tells
        (searched(mean=0.2), {"khat": 0.8}, "means", "NOT_TRUSTED"),
        (searched(), {"khat": 0.8}, "tails", "CANNOT_TELL"),
        (searched(beyond=Estimate(0.022, 0.001)), {"khat": 0.8}, "tails", "CANNOT_TELL"),
        (searched(beyond=Estimate(0.024, 0.001)), {"khat": 0.8}, "tails", "NOT_TRUSTED"),
        (searched(beyond=Estimate(-0.05, 0.001)), {"khat": 0.8}, "tails", "CANNOT_TELL"),  # p has less there than q
        (searched(beyond=Estimate(0.024, 0.001)), NEARLY_EVEN, "tails", "CANNOT_TELL"),
        (searched(beyond=Estimate(0.4, 0.001)), NEARLY_EVEN, "tails", "NOT_TRUSTED"),
        (searched(), {"khat": 0.8, "num_zero": 1}, "tails", "NOT_TRUSTED"),
        (searched(left=0.08), {"moves": distances(mean=0.2)}, "means", "USABLE_AFTER_REWEIGHTING"),
        (searched(left=0.0995), {"moves": distances(mean=0.2)}, "means", "NOT_TRUSTED"),
    ],
)
def test_what_a_search_adds(found, changes, part, verdict):
    assert names(GOOD, searched=found, **changes)[part] == verdict


def test_a_density_that_does_not_follow_its_gradient_is_not_trusted():
    judgement = judge(dataclasses.replace(GOOD, rough=True))
    assert judgement.verdict.name == "NOT_TRUSTED"
    assert "does not follow its own gradient" in judgement.sentence


def test_where_there_is_no_posterior_nothing_is_trusted():
    judgement = judge(dataclasses.replace(GOOD, no_posterior=("The posterior is improper along tau.",)))
    assert judgement.verdict.name == "NOT_TRUSTED"
    assert "and the posterior is improper along tau." in judgement.sentence


@pytest.mark.parametrize(
    ("changes", "settles"),
    [
        ({}, True),
        ({"khat_se": 0.2}, False),  # 0.2 may be 0.5
        ({"khat": 0.6, "khat_se": 0.06}, False),
        ({"khat": 0.6, "khat_se": 0.04}, True),
        ({"khat": 0.9, "khat_se": 0.09}, True),
        ({"khat": np.inf}, False),  # too few draws to tell by
        ({"khat": -np.inf}, True),
        ({"khat": np.inf, "num_bad": 1}, True),
        ({"num_bad": 1, "khat_se": 1.0}, True),
        ({"moves": distances(mean=0.099)}, False),
        ({"moves": distances(spread=0.11, se=0.01)}, False),
        ({"moves": distances(spread=0.2, se=0.01)}, True),
        ({"moves": distances(spread=0.9, se=0.06)}, False),  # beyond, and not known well enough to correct
        ({"khat": 0.9, "khat_se": 0.09, "moves": distances(mean=0.099)}, True),  # the weights have no say
    ],
)
def test_when_more_draws_would_change_nothing(changes, settles):
    assert settled(dataclasses.replace(GOOD, **changes)) is settles
