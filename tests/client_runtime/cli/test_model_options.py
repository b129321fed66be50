"""The options that choose model, signature and accelerator."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from client_runtime.cli.model_options import ModelChoice, model_options


@click.command()
@model_options("MODEL")
@click.option("--other", default=7)
def show(choice: ModelChoice, other: int) -> None:
    """Print what arrived."""
    click.echo(f"{choice} {other}")


def test_all_options_arrive() -> None:
    """As one value, with the command's own options beside it."""
    words = (
        "m --signature k --input-name a=b:0 --input-name c=d=e:0 --output-name f=g:1 --tags t,u"
        " --accelerator 3 --other 8"
    )
    wanted = ModelChoice(
        "m", "k", (("a", "b:0"), ("c", "d=e:0")), (("f", "g:1"),), tags="t,u", accelerator=3
    )

    assert CliRunner().invoke(show, words.split()).output == f"{wanted} 8\n"


def test_only_the_model_is_needed() -> None:
    """Everything else is the predictor's default."""
    assert CliRunner().invoke(show, ["m"]).output == f"{ModelChoice('m')} 7\n"


@pytest.mark.parametrize("text", ["a", "=b", "a="])
def test_half_pairs_are_usage_errors(text: str) -> None:
    """Exit status 2, as for every wrong argument."""
    result = CliRunner().invoke(show, ["m", "--input-name", text])

    assert result.exit_code == 2
    assert "NAME=VALUE" in result.output


def test_an_id_stays_a_text() -> None:
    """Only digits are an ordinal."""
    result = CliRunner().invoke(show, ["m", "--accelerator", "eia-12"])

    assert "accelerator='eia-12'" in result.output
