"""`accel serve`: TensorFlow Serving's door in front of the accelerator.

Rooms, none of which knows another's insides (`tests/client_runtime/serving/test_imports.py`):

- `flags/` is the command line.
- `models/` decides which versions are loaded and has them loaded.
- `inference/` loads versions on accelerators and answers requests with them.
- `doors/` has the ports: the gRPC server with its services, the socket of the REST API, TLS.
- `rest/` is the REST API, whatever socket it is on.
- `access/` decides who is let in, whatever the door.
- `telemetry/` observes `events`: metrics, logs, profiles.

`servable` and `statuses` are what they share. `main` starts `program`, which has `assembly` join
the rooms as `option_choices` understands the flags, and `server` open and drain the doors.
"""
