"""One accelerator: the gRPC side of one process, serving one tenant at a time.

Started by the supervisor as `python -m accel_daemon.accelerator`. Every call passes the gate
(`gate.py`: is the ticket good for this?), then the service (`service.py`), which finds the graph
(`graphs.py`, from the `store.py` when it is not loaded) and waits for a place to run
(`run_queue.py`). The process never holds a long-term secret: it can check tickets, not make them.
"""
