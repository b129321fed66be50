"""From a grant to an answer: tickets, channels, lanes, one call's messages, and uploads.

`attachment.py` is what the rest of the client uses; it heals what breaks.
"""
