"""`accel-daemon policy`: explain what a user or a role may do, and find holes in a document."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from accel_daemon.cli.stored_identities import (
    POLICY_FILE,
    json_option,
    read_policy,
    read_policy_text,
)
from accel_daemon.cli.users import find_user
from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.home import Home
from accel_daemon.iam.callers import AnyPrincipal, AssumedRole
from accel_daemon.iam.evaluation import Decision, Judgement
from accel_daemon.iam.lint import Finding, Severity, has_variables_as_text, lint
from accel_daemon.iam.policy import (
    AccessRequest,
    judge_all,
    load_document,
    parse_policies,
    parse_policy,
)
from accel_daemon.iam.policy_set import Document, PolicySet
from accel_daemon.iam.principals import Identities
from accel_daemon.supervisor.daemon import REGION
from accel_protocol.errors import ConfigurationError

# Of the session that `--role` stands for; policies see it in aws:userid.
SESSION_NAME = "policy-check"


@click.group()
def policy() -> None:
    """Explain policies and find holes in them."""


@policy.command("check")
@click.option("--user", "user_name", metavar="NAME", help="Whose policies; or give --role.")
@click.option("--role", "role_name", metavar="NAME", help="As a session of this role.")
@click.option(
    "--session-policy",
    "session_file",
    type=POLICY_FILE,
    help="A policy document with which a session of the user or role is narrowed.",
)
@click.option("--action", required=True, help="For instance elastic-inference:Connect.")
@click.option("--accelerator", metavar="ID", help="On which accelerator. Default: on none.")
@click.option("--resource", metavar="ARN", help="Or on which other resource, such as a role's ARN.")
@click.option(
    "--context",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="A condition key of the request; may be repeated, also for several values of one key.",
)
@json_option()
def check(
    user_name: str | None,
    role_name: str | None,
    session_file: Path | None,
    action: str,
    accelerator: str | None,
    resource: str | None,
    pairs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say whether a user or a role may do something, and what each statement has to do with it.

    Policies of groups and permission boundaries count, as they do for the daemon.

    The time and TLS are as if the request came now; every other key is what --context says.
    Exit status 0: allowed; 3: denied.
    """
    if (user_name is None) == (role_name is None):
        raise click.UsageError("Give --user or --role, and not both.")
    if accelerator is not None and resource is not None:
        raise click.UsageError("Give --accelerator or --resource, and not both.")
    identities = IdentityStore(Home.from_environment(os.environ).identities).load()
    session = None if session_file is None else (read_policy(session_file),)
    if role_name is not None:
        principal, sources = _of_role(identities, role_name)
    else:
        principal, sources = _of_user(identities, str(user_name))
    if session is not None:
        sources.append(Source("session policy", "session", session))
    if accelerator is not None:
        kind = "elastic-inference-accelerator"
        account = identities.account
        resource = f"arn:aws:elastic-inference:{REGION}:{account}:{kind}/{accelerator}"
    context = _assumed_context(datetime.now(UTC)) | read_context(pairs)
    request = AccessRequest(principal, action, resource or "*", context)
    sys.exit(_explain(sources, request, as_json))


@policy.command("lint")
@click.argument(
    "file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@json_option()
def lint_file(file: Path, as_json: bool) -> None:
    """Name the classic holes in the policy document FILE.

    Exit status 0: nothing, or only information; 3: warnings.
    """
    text = read_policy_text(file)
    document = load_document(text)
    findings = [*lint(parse_policy(document)), *_of_version(text, document.get("Version"))]
    if as_json:
        rows = [{**vars(one), "severity": one.severity.value} for one in findings]
        click.echo(json.dumps({"findings": rows}, indent=2))
    for one in () if as_json else findings:
        click.echo(f"{one.severity.value}  {one.code}  {one.statement}: {one.message}")
    if not findings and not as_json:
        click.echo("Nothing found.")
    sys.exit(3 if any(one.severity is Severity.WARNING for one in findings) else 0)


def _of_version(text: str, version: object) -> list[Finding]:
    if not has_variables_as_text(text, version):
        return []
    message = "`${` is plain text unless Version is 2012-10-17."
    return [Finding(Severity.WARNING, "VARIABLES_ARE_TEXT", "the document", message)]


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


@dataclass(frozen=True)
class Source:
    """Where policies come from: how they are called, and what they do.

    Attributes:
        label: for people.
        part: member of PolicySet that they belong to.
        documents: the policies.
    """

    label: str
    part: Literal["identity", "boundary", "session"]
    documents: tuple[Document, ...]


def _of_user(identities: Identities, name: str) -> tuple[AnyPrincipal, list[Source]]:
    user = find_user(identities, name)
    sources = [Source("policy", "identity", user.policies)]
    for group in identities.groups:
        if group.name in user.groups:
            sources.append(Source(f"group {group.name}, policy", "identity", group.policies))
    return identities.principal(user), sources + _boundary(user.boundary)


def _of_role(identities: Identities, name: str) -> tuple[AnyPrincipal, list[Source]]:
    role = identities.find_role(name)
    if role is None:
        raise ConfigurationError(
            "There is no role of this name.", remedy="`accel-daemon role list` shows them."
        )
    principal = AssumedRole(role.name, role.role_id, SESSION_NAME, identities.account)
    sources = [Source("policy", "identity", role.policies)]
    return principal, sources + _boundary(role.boundary)


def _boundary(document: Document | None) -> list[Source]:
    return [] if document is None else [Source("permission boundary", "boundary", (document,))]


def _explain(sources: Sequence[Source], request: AccessRequest, as_json: bool) -> int:
    judged = [
        (f"{source.label} {number}", judgement)
        for source in sources
        for number, one in enumerate(parse_policies(source.documents), start=1)
        for judgement in judge_all([one], request)
    ]
    rules = _policy_set(sources).rules()
    if rules is None:  # parse_policies, above, said why
        return 3
    decision = rules.decide(request)
    if as_json:
        click.echo(json.dumps(_as_json(request, judged, decision), indent=2))
    else:
        click.echo(f"{request.principal.arn}\n{request.action} on {request.resource_arn}\n")
        for place, judgement in judged:
            verdict = "applies" if judgement.applies else "does not apply"
            one = judgement.statement
            click.echo(f"{place}, {one.label}: {one.effect} {verdict}: {judgement.why}")
        click.echo(f"{'allowed' if decision.allowed else 'denied'}: {decision.why}")
    return 0 if decision.allowed else 3


def _as_json(
    request: AccessRequest, judged: Sequence[tuple[str, Judgement]], decision: Decision
) -> dict[str, object]:
    return {
        "principal": request.principal.arn,
        "action": request.action,
        "resource": request.resource_arn,
        "allowed": decision.allowed,
        "explicit_deny": decision.explicit_deny,
        "why": decision.why,
        "statements": [
            {
                "policy": place,
                "statement": judgement.statement.label,
                "effect": judgement.statement.effect,
                "applies": judgement.applies,
                "why": judgement.why,
            }
            for place, judgement in judged
        ],
    }


def _policy_set(sources: Sequence[Source]) -> PolicySet:
    def documents(part: str) -> tuple[Document, ...]:
        return tuple(one for source in sources if source.part == part for one in source.documents)

    parts = {source.part for source in sources}
    return PolicySet(
        documents("identity"),
        documents("boundary") if "boundary" in parts else None,
        documents("session") if "session" in parts else None,
    )
