"""Answers in XML, whatever stands in them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.control.security_token_answers import NAMESPACE, failure
from accel_protocol.errors import CallError


def message_of(text: str) -> str | None:
    """The message of a refusal, as an SDK reads it."""
    answer = failure(CallError(text), "id").text or ""
    return ElementTree.fromstring(answer).findtext(f".//{{{NAMESPACE}}}Message")


@pytest.mark.parametrize("text", ["a\0b", "a\x1bb", "a\ud800b", "a\uffffb"])
def test_what_xml_has_no_form_for(text: str) -> None:
    """Is replaced, so that SDKs can read the rest."""
    assert message_of(text) == "a?b"


@given(st.text(alphabet=st.characters()))
def test_any_message(text: str) -> None:
    """Can be read."""
    assert len(message_of(text) or "") <= len(text)
