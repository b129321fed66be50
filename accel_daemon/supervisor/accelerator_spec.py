"""What the operator asks for with `--accelerator TYPE[,engine=E][,python=PATH]…`.

Pure but for one look at the file system: the interpreter must be there.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from accel_daemon.engines.precisions import F32, PRECISIONS
from accel_protocol.accelerator_types import HOST_TYPE, TYPES
from accel_protocol.errors import ConfigurationError

ENGINES = ("tensorflow", "onnx", "mxnet")
DEFAULT_ENGINE = "tensorflow"
_OPTIONS = ("engine", "python", "pace", "memory", "compile", "batching", "precision", "lanes")
_PACES = ("on", "off")
_CHOICES = ("auto", "off")  # of what an accelerator does to be faster
_SIZE = re.compile(r"([0-9]{1,9})(MiB|GiB)", re.ASCII)
_UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}
_LEAST_MEMORY = (
    1 << 30
)  # an engine takes a quarter of it for itself, another one is kept in reserve


@dataclass(frozen=True)
class AcceleratorSpec:
    """One accelerator that is wanted.

    Attributes:
        type: one of TYPES.
        engine: what executes its graphs, one of ENGINES.
        python: the interpreter that runs its process.
        paced: whether runs take as long as the type's published throughput would have them.
        allowed_ops: ops admitted beside those that always are, each with the operator's reason.
        load_seconds, run_seconds: how long loading a graph, or one run, may take.
        memory_bytes: what its process may take for itself; None for what the machine has.
        compiled: whether graphs are compiled where a compiling engine is installed.
        batched: whether calls of a graph may be answered together.
        precision: what its graphs may be computed in, one of PRECISIONS.
        lanes: whether clients may run without gRPC.
    """

    type: str = HOST_TYPE
    engine: str = DEFAULT_ENGINE
    python: str = field(default=sys.executable)
    paced: bool = False
    allowed_ops: Mapping[str, str] = field(default_factory=dict)
    load_seconds: float = 300.0
    run_seconds: float = 600.0
    memory_bytes: int | None = None
    compiled: bool = True
    batched: bool = True
    precision: str = F32
    lanes: bool = True


def parse_accelerator(text: str) -> AcceleratorSpec:
    """Read the value of one `--accelerator` option.

    Raises:
        ConfigurationError: an unknown type, option or engine, or an interpreter that is not there.
    """
    accelerator_type, *options = text.split(",")
    if accelerator_type not in TYPES:
        raise _invalid(f"There is no accelerator type {accelerator_type[:40]!r}", TYPES)
    chosen = _read_options(options)
    spec = AcceleratorSpec(type=accelerator_type)
    if "engine" in chosen:
        spec = replace(spec, engine=_read_engine(chosen["engine"]))
    if "python" in chosen:
        spec = replace(spec, python=_find_interpreter(chosen["python"]))
    if "pace" in chosen:
        spec = replace(spec, paced=_read_pace(chosen["pace"], accelerator_type))
    if "memory" in chosen:
        spec = replace(spec, memory_bytes=_read_memory(chosen["memory"], accelerator_type))
    if "compile" in chosen:
        spec = replace(spec, compiled=_read_choice("compile", chosen, accelerator_type))
    if "batching" in chosen:
        spec = replace(spec, batched=_read_choice("batching", chosen, accelerator_type))
    if "precision" in chosen:
        spec = replace(spec, precision=_read_precision(chosen["precision"], spec))
    if "lanes" in chosen:
        spec = replace(spec, lanes=_read_lanes(chosen["lanes"]))
    return spec


def _read_options(options: list[str]) -> Mapping[str, str]:
    chosen: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if name not in _OPTIONS or not equals or not value:
            raise _invalid(
                f"{option[:40]!r} is no option of an accelerator",
                (
                    *("engine=E", "python=PATH", "pace=on", "memory=SIZE"),
                    *("compile=off", "batching=off", "precision=bf16", "lanes=off"),
                ),
            )
        if name in chosen:
            raise _invalid(f"The option {name} is given twice", _OPTIONS)
        chosen[name] = value
    return chosen


def _read_engine(engine: str) -> str:
    if engine not in ENGINES:
        raise _invalid(f"There is no engine {engine[:40]!r}", ENGINES)
    return engine


def _read_pace(pace: str, accelerator_type: str) -> bool:
    if pace not in _PACES:
        raise _invalid(f"There is no pace {pace[:40]!r}", _PACES)
    if pace == "on" and accelerator_type == HOST_TYPE:
        raise ConfigurationError(
            f"The type {HOST_TYPE} has no published throughput to be paced to.",
            remedy=f"Use one of {', '.join(one for one in TYPES if one != HOST_TYPE)}.",
        )
    return pace == "on"


def _read_memory(text: str, accelerator_type: str) -> int:
    if accelerator_type != HOST_TYPE:
        raise ConfigurationError(
            f"The memory of {accelerator_type} is a published figure.",
            remedy=f"Use the type {HOST_TYPE}, or the published type that fits.",
        )
    size = _SIZE.fullmatch(text)
    if size is None or (count := int(size[1]) * _UNITS[size[2]]) < _LEAST_MEMORY:
        raise _invalid(
            f"{text[:40]!r} is no size of memory", ("1GiB", "1536MiB", "any larger size")
        )
    return count


def _read_choice(option: str, chosen: Mapping[str, str], accelerator_type: str) -> bool:
    choice = chosen[option]
    if choice not in _CHOICES:
        raise _invalid(f"{choice[:40]!r} is nothing that {option} can be", _CHOICES)
    if choice == "auto" and accelerator_type != HOST_TYPE:
        raise ConfigurationError(
            f"The type {accelerator_type} is emulated: there, runs take what TensorFlow takes.",
            remedy=f"Use the type {HOST_TYPE}, or leave out {option}=auto.",
        )
    return choice == "auto"


def _read_precision(precision: str, spec: AcceleratorSpec) -> str:
    if precision not in PRECISIONS:
        raise _invalid(f"There is no precision {precision[:40]!r}", PRECISIONS)
    if precision != F32 and (spec.type != HOST_TYPE or not spec.compiled):
        raise ConfigurationError(
            f"Only compiled graphs of the type {HOST_TYPE} are computed in {precision}.",
            remedy=f"Use the type {HOST_TYPE} without compile=off, or leave out precision.",
        )
    return precision


def _read_lanes(choice: str) -> bool:
    if choice not in _CHOICES:
        raise _invalid(f"There are no lanes {choice[:40]!r}", _CHOICES)
    return choice == "auto"


def _find_interpreter(path: str) -> str:
    found = shutil.which(path)
    if found is None:
        raise ConfigurationError(
            f"There is no interpreter {path!r} that can be run.",
            remedy="Name the python of an environment in which elastic-accelerator is installed.",
        )
    return found


def _invalid(problem: str, valid: tuple[str, ...]) -> ConfigurationError:
    return ConfigurationError(f"{problem}.", remedy=f"Use one of {', '.join(valid)}.")
