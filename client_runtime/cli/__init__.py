"""The command `accel`: one module a command, each thin around the rest of the client."""
