"""Where the accelerators are: the first of these sources that says something counts.

1. the arguments of the call: `endpoint` and `ca_file`;
2. `ACCEL_ENDPOINT`, else `AWS_ENDPOINT_URL_ELASTIC_INFERENCE`; `ACCEL_CA_FILE`, else
   `AWS_CA_BUNDLE` names the CA;
3. the home's profiles: `attached.json`, which `accel attach` writes, then `client.json`, which
   `accel-daemon up` writes for its own machine;
4. EC2 instance metadata;
5. ECS container metadata.

What a person set (1 to 3) and cannot be used is an error, never skipped. What a metadata service
says is skipped when it cannot be used. Either way the trail says what was asked and what came of
it: it is the error's message when nothing is found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from accel_protocol.errors import ConfigurationError
from client_runtime.discovery import container_metadata, instance_metadata
from client_runtime.discovery.bounded_http import ExchangeError
from client_runtime.discovery.instance_metadata import Attached
from client_runtime.discovery.profile import PROFILE_NAMES, Profile, home, read_profile
from client_runtime.discovery.trail import Step, Trail, as_sentence, printable

DEFAULT_REGION = "us-east-1"
ARGUMENTS = "the call's arguments"
ENDPOINT_VARIABLES = ("ACCEL_ENDPOINT", "AWS_ENDPOINT_URL_ELASTIC_INFERENCE")
_REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True)
class Endpoint:
    """A control endpoint to connect to.

    Attributes:
        control: "https://HOST:PORT".
        ca_file: PEM file of the authority that must have signed its certificate; None for the
            system's authorities.
        region: the region requests are signed for.
        source: where this was found, for messages.
        profile: the home's profile when it is the one for this endpoint.
        accelerators: ids that the source attached, which then have the ordinals 0, 1, …; empty for
            all that the endpoint offers.
        trail: what was asked before, and what came of it.
    """

    control: str
    ca_file: str | None
    region: str
    source: str
    profile: Profile | None = None
    accelerators: tuple[str, ...] = ()
    trail: Trail = ()


@dataclass(frozen=True)
class Found:
    """What a source said: an endpoint as it was written, and which accelerators and region."""

    url: str
    accelerators: tuple[str, ...] = ()
    region: str | None = None


# A source's name, and what it says: an endpoint, or why there is none.
Source = tuple[str, Callable[[], Found | str]]


def discover(endpoint: str | None = None, ca_file: str | None = None) -> Endpoint:
    """The endpoint to use.

    Args:
        endpoint: control endpoint, "https://HOST:PORT"; None to look for one.
        ca_file: PEM file of its authority; None for the one that belongs to the endpoint.

    Raises:
        ConfigurationError: nothing found (the message lists what was tried), or what was found
            cannot be used.
    """
    found, trail = look(endpoint, ca_file)
    if found is None:
        raise nothing_found(trail)
    return found


def look(endpoint: str | None = None, ca_file: str | None = None) -> tuple[Endpoint | None, Trail]:
    """The same, with the trail also when nothing is found.

    Raises:
        ConfigurationError: what was found cannot be used.
    """
    found, trail = first_found(sources(endpoint, os.environ))
    if found is None:
        return None, trail
    name = trail[-1].source
    control = control_of(found.url, name)
    mine = _profile_of(control)
    chosen = Endpoint(
        control=control,
        ca_file=ca_file or _authority_file(os.environ, mine),
        region=mine.region if mine else found.region or _region(os.environ),
        source=name,
        profile=mine,
        accelerators=found.accelerators,
        trail=trail,
    )
    return chosen, trail


def sources(endpoint: str | None, environment: Mapping[str, str]) -> list[Source]:
    """All sources in their order; none is asked yet."""
    variables = [(name, _variable(environment, name)) for name in ENDPOINT_VARIABLES]
    profiles = [(str(home() / name), _profile(name)) for name in PROFILE_NAMES]
    return [
        (ARGUMENTS, lambda: Found(endpoint) if endpoint else "no endpoint given"),
        *variables,
        *profiles,
        (instance_metadata.SOURCE, lambda: _instance_metadata(environment)),
        (container_metadata.SOURCE, lambda: _container_metadata(environment)),
    ]


def first_found(asked: Iterable[Source]) -> tuple[Found | None, Trail]:
    """What the first source said that says something, and the trail up to that source."""
    trail: list[Step] = []
    for name, ask in asked:
        answer = ask()
        if isinstance(answer, Found):
            return answer, (*trail, Step(name, "used"))
        trail.append(Step(name, answer))
    return None, tuple(trail)


def nothing_found(trail: Trail) -> ConfigurationError:
    """The error that lists what was tried."""
    return ConfigurationError(
        f"No accelerator was found. Tried: {as_sentence(trail)}.",
        remedy="Start `accel-daemon up` on this machine, run `accel attach` with what "
        "`accel-daemon invite` printed on another, or set ACCEL_ENDPOINT.",
    )


def control_of(url: str, source: str) -> str:
    """An endpoint as people write it, as "https://HOST:PORT".

    Raises:
        ConfigurationError: it is not an https:// address of a host. The message shows nothing of
            one that may hold a secret.
    """
    shown = "an address with credentials" if "@" in url else repr(printable(url))
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        is_usable = parts.port != 0 and _HOST_AND_PORT.fullmatch(parts.netloc) is not None
    except ValueError:
        is_usable = False
    if not is_usable or parts.scheme != "https" or parts.path.strip("/") or parts.query:
        raise ConfigurationError(
            f"{source} gives {shown}, and only https:// endpoints are used.",
            remedy="Give https://HOST:PORT, as `accel-daemon up` logs it; an accel:// URI is for "
            "`accel attach`.",
        )
    return f"https://{parts.netloc}"


def _variable(environment: Mapping[str, str], name: str) -> Callable[[], Found | str]:
    def ask() -> Found | str:
        value = environment.get(name)
        return Found(value) if value else "not set"

    return ask


def _profile(name: str) -> Callable[[], Found | str]:
    def ask() -> Found | str:
        profile = read_profile(name)
        return "no such file" if profile is None else Found(profile.control)

    return ask


def _instance_metadata(environment: Mapping[str, str]) -> Found | str:
    is_ec2 = instance_metadata.is_ec2_instance()
    base, why_not = instance_metadata.address(environment, is_ec2)
    if base is None:
        return why_not
    return _ask_service(base, lambda: instance_metadata.ask(base, environment))


def _container_metadata(environment: Mapping[str, str]) -> Found | str:
    base, why_not = container_metadata.address(environment)
    if base is None:
        return why_not
    return _ask_service(base, lambda: container_metadata.ask(base))


def _ask_service(base: str, ask: Callable[[], Attached]) -> Found | str:
    """What a metadata service said; a service that says something unusable is skipped."""
    shown = "an address with credentials" if "@" in base else printable(base)
    try:
        attached = ask()
        control = control_of(attached.endpoint, "it")
    except ExchangeError as error:
        return f"asked at {shown}: {error}"
    except ConfigurationError as error:
        return f"asked at {shown}: {error.message.removesuffix('.')}"
    return Found(control, attached.accelerators, attached.region)


def _authority_file(environment: Mapping[str, str], profile: Profile | None) -> str | None:
    """Ours, then what belongs to the endpoint, then what all AWS clients here are told to trust."""
    of_profile = profile.ca_file if profile else None
    return (
        environment.get("ACCEL_CA_FILE") or of_profile or environment.get("AWS_CA_BUNDLE") or None
    )


def _profile_of(control: str) -> Profile | None:
    """The first profile that is for this control endpoint."""
    for name in PROFILE_NAMES:
        profile = read_profile(name)
        if profile is not None and _is_same(profile.control, control):
            return profile
    return None


def _is_same(one: str, other: str) -> bool:
    """Whether two control endpoints are the same host and port."""
    try:
        first, second = urlsplit(one), urlsplit(other)
        return (first.scheme, first.hostname, first.port or 443) == (
            second.scheme,
            second.hostname,
            second.port or 443,
        )
    except ValueError:
        return False


def _region(environment: Mapping[str, str]) -> str:
    named = (environment.get(name) for name in _REGION_VARIABLES)
    return next((one for one in named if one), DEFAULT_REGION)
