"""The URI that lets a client in."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol.errors import ConfigurationError
from accel_protocol.invitation import Invitation
from accel_protocol.sigv4 import AccessKey

ID, SECRET, PIN = "AKIA" + "B" * 16, "s" * 40, "sha256:" + "0f" * 32
GOOD = f"accel://{ID}:{SECRET}@gpu.example:9443?ca={PIN}"


def test_the_form() -> None:
    """What people see and paste."""
    invitation = Invitation(AccessKey(ID, SECRET), "gpu.example:9443", PIN)
    assert invitation.to_uri() == GOOD
    assert Invitation.from_uri(f"  {GOOD}\n") == invitation
    assert invitation.control == "https://gpu.example:9443"


def test_another_region_is_named() -> None:
    """The default one is not."""
    invitation = Invitation(AccessKey(ID, SECRET), "[::1]:9443", PIN, "eu-west-1")
    assert invitation.to_uri().endswith("&region=eu-west-1")
    assert Invitation.from_uri(invitation.to_uri()) == invitation


@given(
    key_id=st.text("AKIZaz09_", min_size=16, max_size=128),
    secret=st.text([chr(code) for code in range(0x21, 0x7F)], min_size=16, max_size=128),
    host=st.sampled_from(["gpu", "gpu-1.example", "10.0.0.1", "[2001:db8::1]", "a_b.example"]),
    port=st.integers(1, 65_535),
    ca=st.binary(min_size=32, max_size=32).map(lambda digest: f"sha256:{digest.hex()}"),
    region=st.sampled_from(["us-east-1", "eu-central-1"]),
)
def test_what_is_written_is_read(
    key_id: str, secret: str, host: str, port: int, ca: str, region: str
) -> None:
    """Any secret that a key may have survives, "@" and "%" too."""
    invitation = Invitation(AccessKey(key_id, secret), f"{host}:{port}", ca, region)
    assert Invitation.from_uri(invitation.to_uri()) == invitation


BAD = {
    "empty": "",
    "no URI": "hello",
    "another scheme": GOOD.replace("accel:", "https:"),
    "no key": GOOD.replace(f"{ID}:{SECRET}@", ""),
    "no secret": GOOD.replace(f":{SECRET}@", "@"),
    "short secret": GOOD.replace(SECRET, "short"),
    "no port": GOOD.replace(":9443", ""),
    "port 0": GOOD.replace(":9443", ":0"),
    "large port": GOOD.replace(":9443", ":70000"),
    "no host": GOOD.replace("gpu.example", ""),
    "two hosts": GOOD.replace("gpu.example", "a@b"),
    "broken bracket": GOOD.replace("gpu.example", "[::1"),
    "no pin": GOOD.partition("?")[0],
    "short pin": GOOD[:-1],
    "another digest": GOOD.replace("sha256", "sha1"),
    "two pins": f"{GOOD}&ca={PIN}",
    "unknown option": f"{GOOD}&insecure=1",
    "bad region": f"{GOOD}&region=x/y",
    "empty option": f"{GOOD}&region=",
    "path": GOOD.replace("?", "/path?"),
    "fragment": f"{GOOD}#x",
    "blank within": GOOD.replace("?", " ?"),
    "new line within": GOOD.replace("?", "\n?"),
    "other letters": GOOD.replace("gpu", "gpü"),
    "too long": GOOD + "&region=" + "a" * 3000,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_refused(text: str) -> None:
    """Without repeating any of it."""
    with pytest.raises(ConfigurationError) as caught:
        Invitation.from_uri(text)
    assert SECRET not in str(caught.value)
    assert "invite" in caught.value.remedy


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else happens."""
    with contextlib.suppress(ConfigurationError):
        assert Invitation.from_uri(f"accel://{text}").ca.startswith("sha256:")


def test_secret_is_not_shown() -> None:
    """In a traceback's locals, for instance."""
    assert SECRET not in repr(Invitation.from_uri(GOOD))
