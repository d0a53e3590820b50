"""Where weighted draws of the target come from, for forward KL."""

from vi_toolkit.sources.adaptive_importance import AdaptiveImportance as AdaptiveImportance
from vi_toolkit.sources.importance import Importance as Importance
from vi_toolkit.sources.score_climbing import ScoreClimbing as ScoreClimbing
from vi_toolkit.sources.source import PosteriorDraws as PosteriorDraws, WeightedDraws as WeightedDraws
from vi_toolkit.sources.tempered_smc import TemperedSMC as TemperedSMC
from vi_toolkit.sources.transitions import (
    HMC as HMC,
    NUTS as NUTS,
    ConditionalImportance as ConditionalImportance,
    GradientTransition as GradientTransition,
    Moved as Moved,
    Transition as Transition,
)
from vi_toolkit.sources.wake_sleep import WakeSleep as WakeSleep
