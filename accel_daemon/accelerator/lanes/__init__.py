"""Run streams without gRPC: sockets with a thread each, under the same gate, limits and queue.

gRPC in Python costs several times what TLS itself costs. A lane's thread reads a call, runs it and
answers it; whatever has to be decided first is decided on the event loop, as for any other call.
"""
