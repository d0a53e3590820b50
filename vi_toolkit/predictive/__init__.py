"""How well a fitted model predicts: observations left out, and data of its own held against the observed ones."""

from vi_toolkit.predictive.check import PredictiveCheck as PredictiveCheck, predictive_check as predictive_check
from vi_toolkit.predictive.loo import LeaveOneOut as LeaveOneOut, loo as loo
