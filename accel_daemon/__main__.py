"""`python -m accel_daemon` is `accel-daemon`."""

from accel_daemon.cli import main

if __name__ == "__main__":
    main()
