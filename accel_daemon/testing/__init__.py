"""Real accelerators in other projects' tests: the pytest plugin and what it starts.

Rules: `plugin` is imported by every pytest session where this distribution is installed, so it
imports nothing heavy before a fixture is used; nothing outlives the session, neither processes nor
files nor environment variables, however the session ends; and nothing here is used by the daemon.
"""
