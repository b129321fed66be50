"""Starts, watches, restarts and stops the accelerator processes.

Rules of this room: the supervisor never runs a graph, so neither TensorFlow nor gRPC is imported
here. Decisions stand in the pure modules `life_cycle` and `tenancy`; the others do the waiting and
the I/O. What an accelerator process says is not trusted: it runs strangers' graphs.
"""
