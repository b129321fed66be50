"""The URI with which a daemon's operator lets a client in, as `accel-daemon invite` prints it.

    accel://ACCESS_KEY_ID:SECRET@HOST:PORT?ca=sha256:HEX[&region=REGION]

`ca` is the SHA-256 of the authority's certificate in DER: a client that has never met the daemon
asks it for that certificate and believes nothing else about it until the digest fits. Pure; no
message here ever holds a part of the URI, since all of it may be the secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from accel_protocol.errors import ConfigurationError
from accel_protocol.sigv4 import AccessKey

SCHEME = "accel"
DEFAULT_REGION = "us-east-1"
MAX_CHARACTERS = 2048

_PIN = re.compile(r"sha256:[0-9a-f]{64}")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_KEY_ID = re.compile(r"[A-Za-z0-9_]{16,128}")
_SECRET = re.compile(r"[!-~]{16,128}")
_HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_PRINTABLE = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Invitation:
    """What the URI says.

    Attributes:
        key: the access key to sign with; its secret stays out of repr().
        address: "HOST:PORT" of the control endpoint.
        ca: "sha256:" and 64 lower-case hexadecimal digits.
        region: the region that requests are signed for.
    """

    key: AccessKey
    address: str
    ca: str
    region: str = DEFAULT_REGION

    @property
    def control(self) -> str:
        """The control endpoint, "https://HOST:PORT"."""
        return f"https://{self.address}"

    def to_uri(self) -> str:
        """The URI. It holds the secret."""
        key_id = quote(self.key.access_key_id, safe="")
        secret = quote(self.key.secret_access_key, safe="")
        region = "" if self.region == DEFAULT_REGION else f"&region={quote(self.region, safe='')}"
        return f"{SCHEME}://{key_id}:{secret}@{self.address}?ca={self.ca}{region}"

    @staticmethod
    def from_uri(text: str) -> Invitation:
        """Read a URI; blanks around it do not count.

        Raises:
            ConfigurationError: it is not one that `accel-daemon invite` could have printed.
        """
        text = text.strip()
        if not _PRINTABLE.fullmatch(text) or len(text) > MAX_CHARACTERS:
            raise _malformed("is empty, too long, or holds other than printable characters")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise _malformed("is not a URI") from None
        if parts.scheme != SCHEME or parts.path not in ("", "/") or parts.fragment:
            raise _malformed(f"does not have the form {SCHEME}://ID:SECRET@HOST:PORT?ca=sha256:…")
        options = _read_query(parts.query)
        return Invitation(_read_key(parts), _read_address(parts, port), **options)


def _read_key(parts: SplitResult) -> AccessKey:
    key_id, secret = unquote(parts.username or ""), unquote(parts.password or "")
    if not _KEY_ID.fullmatch(key_id) or not _SECRET.fullmatch(secret):
        raise _malformed("has no complete access key")
    return AccessKey(key_id, secret)


def _read_address(parts: SplitResult, port: int | None) -> str:
    host = parts.netloc.rpartition("@")[2].rpartition(":")[0]
    if not port or parts.netloc.count("@") != 1 or not _HOST.fullmatch(host):
        raise _malformed("does not name HOST:PORT")
    return f"{host}:{port}"


def _read_query(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=8)
    except ValueError:
        pairs = []
    options = dict(pairs)
    if len(options) != len(pairs) or not _PIN.fullmatch(options.get("ca", "")):
        raise _malformed("lacks ca=sha256: and 64 hexadecimal digits")
    if not set(options) <= {"ca", "region"}:
        raise _malformed("holds what this version does not know")
    if not _REGION.fullmatch(options.get("region", DEFAULT_REGION)):
        raise _malformed("names no region")
    return options


def _malformed(problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"The invitation {problem}.",
        remedy="Paste all that `accel-daemon invite NAME` printed, with quotes around it.",
    )
