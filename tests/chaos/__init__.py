"""Chaos: many clients and many faults at a real daemon at once, and a checker of what it promises.

    python -m tests.chaos --seconds 600 --seed 1

`plan` decides from a seed what is done and what goes wrong (pure), `world` is the daemon with its
users, disk and network, `strikes` are the faults, `clients` make the calls, `history` is what
happened, `checker` finds what must not have happened (pure), and `campaign` is one whole run.
"""
