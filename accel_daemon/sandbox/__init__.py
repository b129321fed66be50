"""Confines an accelerator's process before anything in it can be a stranger's.

    plan         what the process may do, decided from its order and facts about the machine; pure
    bpf          the assembler of seccomp programs; pure
    denied       which system calls are refused, and why; pure
    …            thin shells over the kernel, by ctypes: landlock, seccomp, identity, mounts
    enter        applies a plan, layer by layer, and reports what is in force

Rules of this room: only the standard library is imported, and nothing of it that starts a thread,
because most of what the kernel offers confines one thread and those it starts. Nothing here knows
gRPC or an engine. A layer that cannot be had ends a strict start, and is reported otherwise.
"""
