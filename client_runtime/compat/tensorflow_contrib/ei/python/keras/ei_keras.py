"""`EIKerasModel` under its old name."""

from client_runtime.keras.model import EIKerasModel

__all__ = ["EIKerasModel"]
