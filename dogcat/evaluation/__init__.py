"""How good probabilities are: metrics with intervals, calibration, comparison. NumPy alone."""
