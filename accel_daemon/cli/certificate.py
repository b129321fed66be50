"""`accel-daemon certificate`: a certificate of this home's authority for a server of models."""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from accel_daemon.home import Home, make_private_folder, write_private_file
from accel_daemon.pki.authority import LEAF_DAYS, issue_leaf
from accel_daemon.pki.files import load_or_create_authority

# `accel serve --tls` reads them there.
FOLDER = "serving"
CERTIFICATE_FILE = "certificate.pem"
KEY_FILE = "key.pem"


@click.command("certificate")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--days", type=click.IntRange(1, 825), default=LEAF_DAYS, show_default=True)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write it instead of $ACCEL_HOME/serving.",
)
def command(names: tuple[str, ...], days: int, folder: Path | None) -> None:
    """Make the certificate with which `accel serve --tls` proves to be NAME.

    NAME is a host name or an IP address by which clients reach the server; there may be several.
    Clients that trust this daemon's ca.pem trust the certificate.
    """
    home = Home.from_environment(os.environ)
    now = datetime.now(UTC)
    addresses = [name for name in names if _is_address(name)]
    hosts = [name for name in names if name not in addresses] or ["localhost"]
    authority = load_or_create_authority(home.authority, now)
    leaf = issue_leaf(
        authority,
        name=hosts[0],
        dns_names=hosts[1:],
        ip_addresses=addresses,
        now=now,
        days=days,
    )
    folder = folder or home.root / FOLDER
    make_private_folder(folder)
    write_private_file(folder / KEY_FILE, leaf.private_key_pem)
    write_private_file(folder / CERTIFICATE_FILE, leaf.certificate_pem)
    click.echo(f"{folder / CERTIFICATE_FILE}, valid until {leaf.expires:%Y-%m-%d}")
    click.echo(f"Clients trust it by {home.ca_file}")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
