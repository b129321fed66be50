"""Where everything of one installation lies: `$ACCEL_HOME`, by default `~/.accel`.

All folders are made with mode 0700 and all files with mode 0600. A file that other processes read
is replaced by one rename, so a reader sees the old or the new one and nothing between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from accel_protocol.errors import ConfigurationError
from accel_protocol.private_files import replace_file

HOME_VARIABLE = "ACCEL_HOME"
DEFAULT_HOME = "~/.accel"


@dataclass(frozen=True)
class AcceleratorFolders:
    """Where one accelerator keeps its tenants' bundles, and where its process may scribble."""

    store: Path
    scratch: Path


@dataclass(frozen=True)
class Home:
    """The paths below one root; nothing is created by asking for them."""

    root: Path

    @staticmethod
    def from_environment(environment: Mapping[str, str]) -> Home:
        """The home that $ACCEL_HOME names, or the default one, as an absolute path."""
        chosen = environment.get(HOME_VARIABLE) or DEFAULT_HOME
        return Home(Path(chosen).expanduser().absolute())

    @property
    def authority(self) -> Path:
        """Folder of the certificate authority."""
        return self.root / "ca"

    @property
    def ca_file(self) -> Path:
        """The certificate that clients trust."""
        return self.authority / "ca.pem"

    @property
    def client_profile(self) -> Path:
        """What a client on this machine needs to connect."""
        return self.root / "client.json"

    @property
    def daemon(self) -> Path:
        """Folder of the daemon's own state."""
        return self.root / "daemon"

    @property
    def lock(self) -> Path:
        """Held by the one running daemon; names its process."""
        return self.daemon / "lock"

    @property
    def identities(self) -> Path:
        """Users, keys and policies."""
        return self.daemon / "identities.json"

    @property
    def session_key(self) -> Path:
        """What seals the tokens of temporary credentials."""
        return self.daemon / "session.key"

    @property
    def accelerators(self) -> Path:
        """Which accelerator has which id."""
        return self.daemon / "accelerators.json"

    @property
    def tags(self) -> Path:
        """The accelerators' tags."""
        return self.daemon / "tags.json"

    @property
    def container_token(self) -> Path:
        """What containers show for the role's credentials."""
        return self.daemon / "container-token"

    @property
    def audit_log(self) -> Path:
        """Who did what, one JSON object per line."""
        return self.daemon / "audit.log"

    def folders_of(self, accelerator_id: str) -> AcceleratorFolders:
        """The folders of one accelerator."""
        folder = self.daemon / "accelerators" / accelerator_id
        return AcceleratorFolders(store=folder / "store", scratch=folder / "scratch")


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone.

    Raises:
        ConfigurationError: it cannot be made, or others may change what is in it.
    """
    try:
        for missing in (*reversed(folder.parents), folder):
            if not missing.exists():
                missing.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_mode & 0o022:
            raise _unusable(folder, "other users may write to it")
    except OSError as error:
        raise _unusable(folder, error.strerror or "it cannot be made") from None


def write_private_file(path: Path, content: bytes) -> None:
    """Replace a file by one of mode 0600 with this content, in one step.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    try:
        replace_file(path, content)
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be written") from None


def _unusable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} cannot be used: {why}.",
        remedy=f"Correct its permissions, or set {HOME_VARIABLE} to a folder of your own.",
    )
