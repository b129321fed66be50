"""Messages of `protos/accel/v1`, generated; see protos/README.md before touching anything here."""
