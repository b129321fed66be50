"""Instance metadata as EC2 serves it, and a task's metadata as ECS does, for one machine.

Plain HTTP on the loopback address only. Every user of the machine reaches that, so what is secret,
the role's credentials, goes only to whom the operator lets have it (`peers.py`). What is answered
is decided by pure functions over an `Instance`; only `app.py`, `service.py` and the two modules
`…_routes.py` know HTTP.
"""
