"""What of the host's own files an accelerator reads, and why. Pure.

Nothing here is secret or writable, and nothing of other processes is named: `/proc/self` is the
accelerator's own folder. Paths that a host does not have are skipped.
"""

from __future__ import annotations

LIBRARIES = (
    *("/usr", "/lib", "/lib32", "/lib64", "/nix/store"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload"),
)

SETTINGS = (
    *("/etc/localtime", "/etc/timezone"),  # the log's times
    *("/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf"),  # localhost
    *("/etc/ssl/openssl.cnf", "/etc/crypto-policies", "/etc/pki/tls/openssl.cnf"),
    *("/etc/locale.alias", "/etc/mime.types"),
)

KERNEL = (
    "/proc/self",
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/vmstat"),  # psutil, OpenBLAS
    "/proc/sys/vm/overcommit_memory",  # the C library's malloc
    *("/sys/devices/system/cpu", "/sys/devices/system/node"),  # how many threads, which caches
    "/sys/kernel/mm/transparent_hugepage",
)

RANDOM = ("/dev/urandom", "/dev/random", "/dev/zero")
SINKS = ("/dev/null",)

# Of NVIDIA's and AMD's drivers; as patterns for glob.
GPU_DEVICES = ("/dev/nvidia*", "/dev/kfd", "/dev/dri")
GPU_FILES = (
    *("/proc/driver/nvidia", "/proc/devices", "/proc/modules"),
    *("/sys/devices", "/sys/bus/pci", "/sys/class/drm", "/sys/class/kfd"),
    *("/sys/module/nvidia", "/sys/module/nvidia_uvm", "/sys/module/amdgpu"),
    *("/etc/nvidia", "/etc/OpenCL", "/opt/rocm", "/opt/nvidia"),
)
