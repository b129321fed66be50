"""`EIKerasModel` under its old name."""

from client_runtime.keras_model import EIKerasModel

__all__ = ["EIKerasModel"]
