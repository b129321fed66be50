"""The options that say which model runs, with which signature, on which accelerator."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from client_runtime import Attachment, EIPredictor


@dataclass(frozen=True)
class ModelChoice:
    """What the options said.

    Attributes:
        model: SavedModel directory, or whatever else EIPredictor takes.
        signature: key of the signature, None for the default or for names.
        input_names, output_names: alias to tensor name, empty when a signature is meant.
        tags: comma-separated, None for "serve".
        accelerator: ordinal or id, None for whichever is free.
    """

    model: str
    signature: str | None = None
    input_names: tuple[tuple[str, str], ...] = ()
    output_names: tuple[tuple[str, str], ...] = ()
    tags: str | None = None
    accelerator: int | str | None = None

    def open(
        self, attachment: Attachment | None = None, *, use_ei: bool = True, config: Any = None
    ) -> EIPredictor:
        """A predictor for it; the arguments are the predictor's own.

        Raises:
            OSError, ValueError, KeyError: see EIPredictor.
        """
        return EIPredictor(
            self.model,
            signature_def_key=self.signature,
            input_names=dict(self.input_names) or None,
            output_names=dict(self.output_names) or None,
            tags=self.tags,
            config=config,
            use_ei=use_ei,
            accelerator_id=self.accelerator,
            attachment=attachment,
        )


def pairs(
    context: click.Context, option: click.Parameter, values: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """An option's callback: every NAME=VALUE as a tuple of both."""
    found = []
    for value in values:
        name, sign, rest = value.partition("=")
        if not (name and sign and rest):
            raise click.BadParameter(f"{value!r} is not of the form NAME=VALUE.", context, option)
        found.append((name, rest))
    return tuple(found)


def accelerator_name(text: str) -> int | str:
    """An ordinal as a number; an id as it is."""
    return int(text) if text.isascii() and text.isdigit() else text


def _accelerator(_: click.Context, __: click.Parameter, value: str | None) -> int | str | None:
    return None if value is None else accelerator_name(value)


_OPTIONS = (
    click.option("--signature", metavar="KEY", help="Signature; serving_default if not given."),
    click.option(
        "--input-name",
        "input_names",
        callback=pairs,
        multiple=True,
        metavar="ALIAS=TENSOR",
        help="Feed this tensor, for instance image=image_tensor:0, instead of a signature's.",
    ),
    click.option(
        "--output-name",
        "output_names",
        callback=pairs,
        multiple=True,
        metavar="ALIAS=TENSOR",
        help="Fetch this tensor; needed with --input-name.",
    ),
    click.option("--tags", metavar="TAG[,TAG…]", help="Tag set of the graph; serve if not given."),
    click.option(
        "--accelerator",
        callback=_accelerator,
        metavar="ID|N",
        help="The accelerator's id or ordinal; whichever is free if not given.",
    ),
)


def model_options(argument: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the argument of this name and the options above, as one `ModelChoice`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_choice(
            model: str,
            signature: str | None,
            input_names: tuple[tuple[str, str], ...],
            output_names: tuple[tuple[str, str], ...],
            tags: str | None,
            accelerator: int | str | None,
            **others: Any,
        ) -> None:
            choice = ModelChoice(model, signature, input_names, output_names, tags, accelerator)
            command(choice, **others)

        decorated: Callable[..., None] = with_choice
        for option in reversed(_OPTIONS):
            decorated = option(decorated)
        return click.argument("model", metavar=argument)(decorated)

    return decorate
