"""Faults on demand, for people's integration tests: what they are, and when they strike.

Rules: pure (no sockets, files, grpc, tensorflow or sleeping; the clock is handed in); all chance
comes from the fault's seed, so that a test that fails once fails again; and nothing here is reached
by a daemon that was started without `--allow-faults`. Where faults take effect is elsewhere:
`accelerator/disturbances.py` for calls, `control/faults.py` and its neighbours for the rest.
"""
