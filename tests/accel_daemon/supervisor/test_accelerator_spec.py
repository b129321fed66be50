"""The values of `--accelerator`."""

from __future__ import annotations

import sys

import pytest

from accel_daemon.supervisor.accelerator_spec import AcceleratorSpec, parse_accelerator
from accel_protocol.accelerator_types import TYPES
from accel_protocol.errors import ConfigurationError


def test_lanes() -> None:
    """Clients may take them, unless they are left out; on emulated types as well."""
    assert not parse_accelerator("host,lanes=off").lanes
    assert not parse_accelerator("eia2.large,lanes=off").lanes
    assert parse_accelerator("host").lanes


@pytest.mark.parametrize("accelerator_type", TYPES)
def test_each_type_alone(accelerator_type: str) -> None:
    """A type alone means TensorFlow under this interpreter."""
    expected = AcceleratorSpec(accelerator_type, "tensorflow", sys.executable)
    assert parse_accelerator(accelerator_type) == expected


def test_options_in_any_order() -> None:
    """Both options can be given."""
    spec = parse_accelerator(f"eia2.large,python={sys.executable},engine=onnx")
    assert spec == AcceleratorSpec("eia2.large", "onnx", sys.executable)


def test_pacing_is_on_request() -> None:
    """A paced accelerator says so, and `off` is what there is without the option."""
    assert parse_accelerator("eia1.large,pace=on").paced
    assert parse_accelerator("eia1.large,pace=off") == parse_accelerator("eia1.large")
    assert not parse_accelerator("host,pace=off").paced


@pytest.mark.parametrize(
    ("size", "expected"), [("1GiB", 2**30), ("1536MiB", 1536 * 2**20), ("64GiB", 2**36)]
)
def test_memory_may_be_bounded(size: str, expected: int) -> None:
    """In units that say which they are; without the option there is no bound."""
    assert parse_accelerator(f"host,memory={size}").memory_bytes == expected
    assert parse_accelerator("host").memory_bytes is None


def test_compiling_can_be_switched_off() -> None:
    """It is on where OpenVINO is installed; `auto` says the same."""
    assert not parse_accelerator("host,compile=off").compiled
    assert parse_accelerator("host,compile=auto") == parse_accelerator("host")
    assert parse_accelerator("host").compiled


def test_batching_can_be_switched_off() -> None:
    """By itself."""
    assert not parse_accelerator("host,batching=off").batched
    assert parse_accelerator("host,batching=off").compiled
    assert parse_accelerator("host,batching=auto") == parse_accelerator("host")
    assert parse_accelerator("host").batched


@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_fewer_bits_are_used_on_request_only(precision: str) -> None:
    """Otherwise graphs compute as TensorFlow does."""
    assert parse_accelerator(f"host,precision={precision}").precision == precision
    assert parse_accelerator("host,precision=f32") == parse_accelerator("host")
    assert parse_accelerator("host").precision == "f32"
    assert parse_accelerator("eia2.large,precision=f32").precision == "f32"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "host, eia1.medium"),
        ("eia3.large", "eia2.xlarge"),
        ("HOST", "host, eia1.medium"),
        ("host,", "engine=E, python=PATH"),
        ("host,engine", "engine=E"),
        ("host,engine=", "engine=E"),
        ("host,colour=red", "engine=E"),
        ("host,engine=basic", "tensorflow, onnx, mxnet"),
        ("host,engine=onnx,engine=onnx", "engine, python"),
        ("eia1.medium,pace=fast", "on, off"),
        ("host,pace=on", "eia1.medium"),
        ("host,memory=1023MiB", "1GiB"),
        ("host,memory=4096", "1GiB"),
        ("host,memory=4GB", "1GiB"),
        ("host,memory=-4GiB", "1GiB"),
        ("host,memory=\u0664GiB", "1GiB"),
        ("eia2.large,memory=4GiB", "the type host"),
        ("host,compile=on", "auto, off"),
        ("host,lanes=tls", "auto, off"),
        ("host,batching=8", "auto, off"),
        ("host,precision=int8", "f32, bf16, f16"),
        ("host,precision=bf16,compile=off", "without compile=off"),
        ("eia2.large,precision=bf16", "the type host"),
        ("eia2.large,batching=auto", "the type host"),
        ("eia2.large,compile=auto", "the type host"),
        ("host,python=/nowhere/python", "elastic-accelerator is installed"),
    ],
)
def test_what_is_refused_names_what_is_valid(text: str, hint: str) -> None:
    """The remedy lists the valid values."""
    with pytest.raises(ConfigurationError) as caught:
        parse_accelerator(text)
    assert hint in caught.value.remedy
