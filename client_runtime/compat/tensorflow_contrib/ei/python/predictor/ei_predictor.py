"""`EIPredictor` under its old name."""

from client_runtime.compat.ei_predictor import EIPredictor

__all__ = ["EIPredictor"]
