"""Where requests come in: the gRPC server with its services, and the socket of the REST API."""
