"""What the server tells about itself: metrics, request logs, an access log, and profiles.

All of them observe the events of `client_runtime.serving.events`, which doors, models and inference
make, so that none of these knows who observes.
"""
