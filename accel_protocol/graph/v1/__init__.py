"""Messages of `protos/accel/graph/v1`, generated; see protos/README.md."""
