"""The commands of `accel-daemon`: they read options, ask the rooms that decide, and print answers.

Rules of this room: a command is thin, one file holds what a user would look for in one place, and
nothing else in the daemon imports from here.
"""
