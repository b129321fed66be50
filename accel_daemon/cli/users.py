"""`accel-daemon user` and `key`: who there is, what they may do, and what they sign with."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from accel_daemon.cli.stored_identities import (
    POLICY_FILE,
    boundary_option,
    change,
    json_option,
    load_identities,
    policy_option,
    print_rows,
    read_policy,
    read_policy_or_none,
)
from accel_daemon.iam.principals import Identities, User, new_access_key
from accel_protocol.errors import ConfigurationError


@click.group()
def user() -> None:
    """Add, change, list and remove users."""


@user.command("add")
@click.argument("name")
@policy_option("A file with an IAM policy document (JSON).", required=False)
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="May be repeated.")
@boundary_option()
@json_option()
def user_add(
    name: str,
    policy_file: Path | None,
    groups: tuple[str, ...],
    boundary_file: Path | None,
    as_json: bool,
) -> None:
    """Add the user NAME and print its access key; the secret is never shown again.

    What the user may do comes from --policy, from groups, or both.
    """
    if policy_file is None and not groups:
        raise click.UsageError("Give --policy, --group, or both.")
    policies = () if policy_file is None else (read_policy(policy_file),)
    key = new_access_key(datetime.now(UTC).isoformat())
    added = User(name, policies, (key,), groups, read_policy_or_none(boundary_file))
    change(lambda identities: identities.with_user(added))
    printed = {
        "access_key_id": key.access_key_id,
        "secret_access_key": key.secret_access_key,
    }
    if as_json:
        click.echo(json.dumps({"user": name, **printed}, indent=2))
        return
    for member, value in printed.items():
        click.echo(f"{member}: {value}")


@user.command("list")
@json_option()
def user_list(as_json: bool) -> None:
    """List users and the ids of their keys."""
    users = load_identities().users
    if as_json:
        print_rows([_row(one) for one in users], as_json)
        return
    for one in users:
        keys = ", ".join(key.access_key_id for key in one.keys) or "no keys"
        groups = f"\tgroups {', '.join(one.groups)}" if one.groups else ""
        bounded = "" if one.boundary is None else "\tbounded"
        click.echo(f"{one.name}\t{keys}{groups}{bounded}")


@user.command("policy")
@click.argument("name")
@policy_option("A file with the IAM policy document (JSON) that replaces those of the user.")
def user_policy(name: str, policy_file: Path) -> None:
    """Replace the policies of the user NAME; those of its groups stay."""
    policy = read_policy(policy_file)
    change(lambda identities: identities.with_policies(name, (policy,)))
    click.echo(f"Replaced the policies of user {name}.")


@user.command("boundary")
@click.argument("name")
@click.option("--policy", "policy_file", type=POLICY_FILE, help="A file with the boundary (JSON).")
@click.option("--none", "remove", is_flag=True, help="Remove the boundary.")
def user_boundary(name: str, policy_file: Path | None, remove: bool) -> None:
    """Limit what the user NAME may do at most, or remove the limit."""
    if remove == (policy_file is not None):
        raise click.UsageError("Give --policy or --none, and not both.")
    boundary = read_policy_or_none(policy_file)

    def bounded(identities: Identities) -> Identities:
        return identities.with_changed_user(name, lambda one: replace(one, boundary=boundary))

    change(bounded)
    click.echo(f"{'Removed' if remove else 'Set'} the boundary of user {name}.")


@user.command("remove")
@click.argument("name")
def user_remove(name: str) -> None:
    """Remove the user NAME; a running daemon ends its sessions within two seconds."""
    change(lambda identities: identities.without_user(name))
    click.echo(f"Removed user {name}.")


@click.group()
def key() -> None:
    """Revoke access keys."""


@key.command("revoke")
@click.argument("access_key_id", metavar="AKID")
def key_revoke(access_key_id: str) -> None:
    """Revoke the access key AKID; a running daemon ends its sessions within two seconds."""
    change(lambda identities: identities.without_key(access_key_id))
    click.echo(f"Revoked key {access_key_id}.")


def find_user(identities: Identities, name: str) -> User:
    """The user of this name.

    Raises:
        ConfigurationError: there is none.
    """
    found = identities.find_user(name)
    if found is None:
        raise ConfigurationError(
            "There is no user of this name.", remedy="`accel-daemon user list` shows them."
        )
    return found


def _row(one: User) -> dict[str, object]:
    keys = [{"access_key_id": key.access_key_id, "created": key.created} for key in one.keys]
    return {
        "name": one.name,
        "keys": keys,
        "groups": list(one.groups),
        "policies": [dict(policy) for policy in one.policies],
        "boundary": None if one.boundary is None else dict(one.boundary),
    }
