"""The daemon: emulates the network-attached accelerator and the service around it."""
