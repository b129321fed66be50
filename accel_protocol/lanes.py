"""The names of lanes, and the application protocol by which TLS knows one."""

from __future__ import annotations

LANE_VERSION = 1
TLS_PROTOCOL = "accel-run/1"
# In the order in which a client tries them.
KINDS = ("local", "tls", "grpc")
