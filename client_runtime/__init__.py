"""The client: uses an accelerator over the network as if it were in this machine.

`EIPredictor` is the drop-in for Amazon's; `connect` gives the connection behind it to those who
want it. Nothing here needs TensorFlow to be installed, and importing this package never loads it.
"""

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
