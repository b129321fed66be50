"""Answering requests with loaded versions: what is loaded where, and what a request asks of it.

Versions become servables here, on accelerators or in this process; requests become runs of them.
"""
