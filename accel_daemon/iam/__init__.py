"""Who a caller is and what it may do: principals, keys, policies, signatures and tickets.

Rules of this room: everything is pure. No sockets, no gRPC, no files, no clock (callers pass
`now`), so every decision can be tested with plain values. Whatever cannot be understood is refused:
an unknown policy element, a header that is there twice, a claim that is missing. No secret appears
in a message, a repr or a log line.
"""
