"""`accel-daemon group` and `role`: what users have in common, and what they may become."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from accel_daemon.cli.stored_identities import (
    boundary_option,
    change,
    json_option,
    load_identities,
    policy_option,
    print_rows,
    read_policy,
    read_policy_or_none,
)
from accel_daemon.iam.callers import role_arn, user_arn
from accel_daemon.iam.principals import (
    DEFAULT_SESSION_SECONDS,
    MAX_SESSION_SECONDS,
    MIN_SESSION_SECONDS,
    Group,
    Identities,
    Role,
    new_role_id,
)
from accel_protocol.errors import ConfigurationError


@click.group()
def group() -> None:
    """Add, change, list and remove groups of users."""


@group.command("add")
@click.argument("name")
@policy_option("A file with an IAM policy document (JSON) for all users of the group.")
def group_add(name: str, policy_file: Path) -> None:
    """Add the group NAME, with nobody in it."""
    added = Group(name, (read_policy(policy_file),))
    change(lambda identities: identities.with_group(added))
    click.echo(f"Added group {name}.")


@group.command("policy")
@click.argument("name")
@policy_option("A file with the IAM policy document (JSON) that replaces those of the group.")
def group_policy(name: str, policy_file: Path) -> None:
    """Replace the policies of the group NAME."""
    changed = Group(name, (read_policy(policy_file),))
    change(lambda identities: identities.with_changed_group(changed))
    click.echo(f"Replaced the policies of group {name}.")


@group.command("list")
@json_option()
def group_list(as_json: bool) -> None:
    """List groups and who is in them."""
    identities = load_identities()
    rows: list[dict[str, object]] = []
    for one in identities.groups:
        users = [user.name for user in identities.users if one.name in user.groups]
        row: dict[str, object] = {"name": one.name, "users": users}
        rows.append({**row, "policies": [dict(p) for p in one.policies]} if as_json else row)
    print_rows(rows, as_json)


@group.command("remove")
@click.argument("name")
def group_remove(name: str) -> None:
    """Remove the group NAME, which nobody may be in any more."""
    change(lambda identities: identities.without_group(name))
    click.echo(f"Removed group {name}.")


@group.command("add-user")
@click.argument("name")
@click.argument("user")
def group_add_user(name: str, user: str) -> None:
    """Put USER into the group NAME."""
    change(lambda identities: identities.with_member(name, user))
    click.echo(f"User {user} is in group {name} now.")


@group.command("remove-user")
@click.argument("name")
@click.argument("user")
def group_remove_user(name: str, user: str) -> None:
    """Take USER out of the group NAME."""
    change(lambda identities: identities.without_member(name, user))
    click.echo(f"User {user} is no longer in group {name}.")


@click.group()
def role() -> None:
    """Add, change, list and remove roles, which others may assume for a while."""


_TRUST = click.option(
    "--trust",
    "trusted",
    multiple=True,
    metavar="USER|ARN",
    help="Who may assume it, if their own policies allow sts:AssumeRole: a user's name, or the ARN "
    "of a user or a role; may be repeated. Default: nobody.",
)


@role.command("add")
@click.argument("name")
@policy_option("A file with an IAM policy document (JSON) for the role's sessions.")
@_TRUST
@boundary_option()
@click.option(
    "--max-session",
    "seconds",
    type=click.IntRange(MIN_SESSION_SECONDS, MAX_SESSION_SECONDS),
    default=DEFAULT_SESSION_SECONDS,
    show_default=True,
    help="Seconds that a session lasts at most.",
)
def role_add(
    name: str,
    policy_file: Path,
    trusted: tuple[str, ...],
    boundary_file: Path | None,
    seconds: int,
) -> None:
    """Add the role NAME and print its ARN."""
    policies, boundary = (read_policy(policy_file),), read_policy_or_none(boundary_file)

    def with_role(identities: Identities) -> Identities:
        arns = trusted_arns(identities, trusted)
        return identities.with_role(Role(name, new_role_id(), policies, arns, boundary, seconds))

    change(with_role)
    click.echo(role_arn(load_identities().account, name))


@role.command("policy")
@click.argument("name")
@policy_option("A file with the IAM policy document (JSON) that replaces those of the role.")
def role_policy(name: str, policy_file: Path) -> None:
    """Replace the policies of the role NAME, also for sessions that there are."""
    policy = read_policy(policy_file)

    def changed(identities: Identities) -> Identities:
        return identities.with_changed_role(name, lambda one: replace(one, policies=(policy,)))

    change(changed)
    click.echo(f"Replaced the policies of role {name}.")


@role.command("trust")
@click.argument("name")
@_TRUST
def role_trust(name: str, trusted: tuple[str, ...]) -> None:
    """Say who may assume the role NAME from now on; sessions that there are stay."""

    def changed(identities: Identities) -> Identities:
        arns = trusted_arns(identities, trusted)
        return identities.with_changed_role(name, lambda one: replace(one, trusted=arns))

    change(changed)
    click.echo(f"Replaced whom role {name} trusts.")


@role.command("list")
@json_option()
def role_list(as_json: bool) -> None:
    """List roles, and who may assume them."""
    identities = load_identities()
    rows: list[dict[str, object]] = []
    for one in identities.roles:
        row: dict[str, object] = {
            "name": one.name,
            "arn": role_arn(identities.account, one.name),
            "trusted": list(one.trusted),
            "max_session_seconds": one.max_session_seconds,
        }
        if as_json:
            row["role_id"] = one.role_id
            row["policies"] = [dict(policy) for policy in one.policies]
            row["boundary"] = None if one.boundary is None else dict(one.boundary)
        rows.append(row)
    print_rows(rows, as_json)


@role.command("remove")
@click.argument("name")
def role_remove(name: str) -> None:
    """Remove the role NAME; a running daemon ends its sessions within two seconds."""
    change(lambda identities: identities.without_role(name))
    click.echo(f"Removed role {name}.")


def trusted_arns(identities: Identities, names: tuple[str, ...]) -> tuple[str, ...]:
    """The ARNs of users and roles that are named by name or ARN.

    Raises:
        ConfigurationError: one is not there; who came later under its name would be trusted.
    """
    known = {user_arn(identities.account, one.name) for one in identities.users}
    known |= {role_arn(identities.account, one.name) for one in identities.roles}
    arns = tuple(
        name if name.startswith("arn:") else user_arn(identities.account, name) for name in names
    )
    for name, arn in zip(names, arns, strict=True):
        if arn not in known:
            raise ConfigurationError(
                f"There is no user or role {name[:100]} to trust.",
                remedy="`accel-daemon user list` and `accel-daemon role list` show them.",
            )
    return tuple(dict.fromkeys(arns))
