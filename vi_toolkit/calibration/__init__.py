"""Calibration: whether fits to simulated data cover the values that the data were simulated from."""

from vi_toolkit.calibration.calibration import Calibration as Calibration
from vi_toolkit.calibration.sbc import sbc as sbc, vsbc as vsbc
