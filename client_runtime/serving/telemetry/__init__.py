"""What the server tells about itself: metrics, request logs, an access log, and profiles.

All of them observe the events of `client_runtime.serving.events`; `observed.py` makes those of the
requests, so that no door knows of any of them.
"""
