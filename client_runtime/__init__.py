"""The client: uses an accelerator over the network as if it were in this machine.

`EIPredictor` is the drop-in for Amazon's; `connect` gives the connection behind it to those who
want it. Nothing here needs TensorFlow to be installed, and importing this package never loads it.

What the names below need is imported when they are first used, so that the rooms which do without
(`serving_client`, `serving`) do not pay for it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from client_runtime.discovery.listing import Accelerator, accelerators
    from client_runtime.keras.model import EIKerasModel
    from client_runtime.predictor import EIPredictor
    from client_runtime.transport.attachment import Attachment, connect

__all__ = [
    "Accelerator",
    "Attachment",
    "EIKerasModel",
    "EIPredictor",
    "accelerators",
    "connect",
]

_HOMES = {
    "Accelerator": "client_runtime.discovery.listing",
    "Attachment": "client_runtime.transport.attachment",
    "EIKerasModel": "client_runtime.keras.model",
    "EIPredictor": "client_runtime.predictor",
    "accelerators": "client_runtime.discovery.listing",
    "connect": "client_runtime.transport.attachment",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
