"""`accel-daemon policy`: explain what a user's policies say, and find holes in a document."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.home import Home
from accel_daemon.iam.lint import Severity, has_variables_as_text, lint
from accel_daemon.iam.policy import (
    AccessRequest,
    Policy,
    evaluate,
    judge_all,
    load_document,
    parse_policies,
    parse_policy,
)
from accel_daemon.supervisor.daemon import REGION
from accel_protocol.errors import ConfigurationError


@click.group()
def policy() -> None:
    """Explain policies and find holes in them."""


@policy.command("check")
@click.option("--user", "user_name", required=True, metavar="NAME", help="Whose policies.")
@click.option("--action", required=True, help="For instance elastic-inference:Connect.")
@click.option("--accelerator", metavar="ID", help="On which accelerator. Default: on none.")
@click.option(
    "--context",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="A condition key of the request; may be repeated, also for several values of one key.",
)
def check(user_name: str, action: str, accelerator: str | None, pairs: tuple[str, ...]) -> None:
    """Say whether a user may do something, and what each statement has to do with it.

    The time and TLS are as if the request came now; every other key is what --context says.
    Exit status 0: allowed; 3: denied.
    """
    identities = IdentityStore(Home.from_environment(os.environ).identities).load()
    user = identities.find_user(user_name)
    if user is None:
        raise ConfigurationError(
            "There is no user of this name.", remedy="`accel-daemon user list` shows them."
        )
    resource = "*"
    if accelerator is not None:
        kind = "elastic-inference-accelerator"
        account = identities.account
        resource = f"arn:aws:elastic-inference:{REGION}:{account}:{kind}/{accelerator}"
    context = _assumed_context(datetime.now(UTC)) | read_context(pairs)
    request = AccessRequest(identities.principal(user), action, resource, context)
    sys.exit(_explain(parse_policies(user.policies), request))


@policy.command("lint")
@click.argument(
    "file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
def lint_file(file: Path) -> None:
    """Name the classic holes in the policy document FILE.

    Exit status 0: nothing, or only information; 3: warnings.
    """
    text = read_policy_text(file)
    document = load_document(text)
    findings = lint(parse_policy(document))
    for one in findings:
        click.echo(f"{one.severity.value}  {one.code}  {one.statement}: {one.message}")
    as_text = has_variables_as_text(text, document.get("Version"))
    if as_text:
        click.echo(
            "warning  VARIABLES_ARE_TEXT  the document: `${` is plain text unless Version is "
            "2012-10-17."
        )
    if not findings and not as_text:
        click.echo("Nothing found.")
    is_serious = as_text or any(one.severity is Severity.WARNING for one in findings)
    sys.exit(3 if is_serious else 0)


def read_context(pairs: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Condition keys from KEY=VALUE; a key that comes again has several values.

    Raises:
        ConfigurationError: a pair without "=" or without a key.
    """
    context: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise ConfigurationError(
                f"--context {pair!r} is not KEY=VALUE.",
                remedy="Write for instance --context aws:SourceIp=10.0.0.1.",
            )
        name = names.setdefault(key.lower(), _spelling(key))
        context[name] = (*context.get(name, ()), value)
    return context


def _spelling(key: str) -> str:
    """An assumed key keeps its spelling, so that a given value replaces the assumed one."""
    assumed = {known.lower(): known for known in _assumed_context(datetime.now(UTC))}
    return assumed.get(key.lower(), key)


def _assumed_context(now: datetime) -> dict[str, tuple[str, ...]]:
    return {
        "aws:CurrentTime": (now.isoformat(timespec="seconds"),),
        "aws:EpochTime": (str(int(now.timestamp())),),
        "aws:SecureTransport": ("true",),
    }


def _explain(policies: tuple[Policy, ...], request: AccessRequest) -> int:
    click.echo(f"{request.principal.arn}\n{request.action} on {request.resource_arn}\n")
    for number, one in enumerate(policies, start=1):
        for judgement in judge_all([one], request):
            verdict = "applies" if judgement.applies else "does not apply"
            statement = judgement.statement
            click.echo(
                f"policy {number}, {statement.label}: {statement.effect} {verdict}: {judgement.why}"
            )
    decision = evaluate(policies, request)
    click.echo(f"{'allowed' if decision.allowed else 'denied'}: {decision.why}")
    return 0 if decision.allowed else 3


def read_policy_text(file: Path) -> str:
    """A policy file's text.

    Raises:
        ConfigurationError: it is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"{file} is not UTF-8.", remedy="Write an IAM policy document into it."
        ) from None
