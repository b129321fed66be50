"""The daemon's certificate authority: one private CA per installation, and leaves for its servers.

Rules of this room: `authority.py` only computes; `files.py` only keeps the CA on disk, and refuses
to start on anything that looks wrong. A private key is never in a repr, a message or a log line,
and never in a file that others could read, not even for a moment.
"""
