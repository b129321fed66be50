"""The files of `$ACCEL_HOME` that say where a client connects to and with which key.

- `attached.json` is written by `accel attach` and removed by `accel attach --detach`;
- `client.json` is written by `accel-daemon up`, at each start, for clients on its own machine.

Two files, because two programs write them: neither loses what the other one wrote. The attached one
comes first, since a person chose it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from accel_protocol.errors import ConfigurationError
from accel_protocol.private_files import replace_file

ATTACHED_NAME = "attached.json"
DAEMONS_NAME = "client.json"
PROFILE_NAMES = (ATTACHED_NAME, DAEMONS_NAME)
_REMEDIES = {
    ATTACHED_NAME: "Run `accel attach` again, or `accel attach --detach` to remove it.",
    DAEMONS_NAME: "Start `accel-daemon up` again, which writes it anew.",
}


@dataclass(frozen=True)
class Profile:
    """What a profile says.

    Attributes:
        control: "https://HOST:PORT".
        ca_file: PEM file of the authority that must have signed the endpoint's certificate.
        region: the region that requests are signed for.
        access_key_id, secret_access_key: None when the daemon had no key to put into it.
    """

    control: str
    ca_file: str
    region: str
    access_key_id: str | None = None
    secret_access_key: str | None = field(repr=False, default=None)


def home() -> Path:
    """`$ACCEL_HOME`, by default `~/.accel`, as an absolute path."""
    return Path(os.environ.get("ACCEL_HOME") or "~/.accel").expanduser().absolute()


def read_profile(name: str) -> Profile | None:
    """One of the home's profiles by its file name; None when there is no such file.

    Raises:
        ConfigurationError: it is there and cannot be used.
    """
    path = home() / name
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, f"it cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise _unusable(path, "it is not JSON") from None
    return _profile(path, value)


def write_attached(profile: Profile, certificate: bytes) -> Path:
    """Keep a profile and its authority's certificate; both are private, and written in one step.

    Args:
        profile: its `ca_file` is where the certificate goes; see `authority_file`.
        certificate: PEM.

    Raises:
        ConfigurationError: the home cannot be written to.
    """
    path = home() / ATTACHED_NAME
    write_private_file(Path(profile.ca_file), certificate)
    write_private_file(path, (json.dumps(asdict(profile), indent=2) + "\n").encode())
    return path


def remove_attached() -> bool:
    """Remove the attached profile and its certificate; False when there is none.

    Raises:
        ConfigurationError: it cannot be removed.
    """
    path = home() / ATTACHED_NAME
    with contextlib.suppress(ConfigurationError):
        profile = read_profile(ATTACHED_NAME)
        if profile is not None and Path(profile.ca_file).parent == home() / "authorities":
            Path(profile.ca_file).unlink(missing_ok=True)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unusable(path, f"it cannot be removed ({error.strerror})") from None
    return True


def authority_file(pin: str) -> Path:
    """Where the certificate with this fingerprint ("sha256:…") is kept."""
    return home() / "authorities" / f"{pin.removeprefix('sha256:')}.pem"


def write_private_file(path: Path, content: bytes) -> None:
    """Replace a file by one of mode 0600 in one step; makes its folder, for this user alone.

    Raises:
        ConfigurationError: it cannot be written.
    """
    try:
        home().mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}.",
            remedy="Correct its permissions, or set ACCEL_HOME to a folder of your own.",
        ) from None


def _profile(path: Path, value: object) -> Profile:
    if not isinstance(value, Mapping):
        raise _unusable(path, "it is not a JSON object")
    fields = {name: value[name] for name in Profile.__dataclass_fields__ if name in value}
    for name in ("control", "ca_file", "region"):
        if name not in fields:
            raise _unusable(path, f"it lacks {name!r}")
    if ("access_key_id" in fields) != ("secret_access_key" in fields):
        raise _unusable(path, "its access key is not complete")
    for name, one in fields.items():
        if not isinstance(one, str) or not one:
            raise _unusable(path, f"its {name!r} is not a text")
    return Profile(**fields)


def _unusable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The profile {path} cannot be used: {why}.", remedy=_REMEDIES[path.name]
    )
