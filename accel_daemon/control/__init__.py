"""The HTTPS side of the daemon: Connect, the elastic-inference API, status, and instance metadata.

Rules of this room: `gate.PERMISSIONS` lists every route, and one gate stands in front of them all.
Handlers decide nothing about who calls; where the answer depends on the accelerator they ask
`Call.allows`. Every decision is in the audit log, and no secret is in any log or answer.
"""
