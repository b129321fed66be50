"""The REST API's paths."""

from __future__ import annotations

import pytest

from client_runtime.serving.rest import paths
from client_runtime.serving.rest.paths import Method, Target
from client_runtime.serving.statuses import ServingError

# All that URLs reserve, and how they write it.
RESERVED = "a!#$%&'()*+,/:;=?@[]z"
ENCODED = "a%21%23%24%25%26%27%28%29%2A%2B%2C%2F%3A%3B%3D%3F%40%5B%5Dz"


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("GET", "/v1/models/m", Target(Method.STATUS, "m")),
        ("GET", f"/v1/models/{ENCODED}", Target(Method.STATUS, RESERVED)),
        ("GET", "/v1/models/m/versions/12", Target(Method.STATUS, "m", version=12)),
        ("GET", "/v1/models/m/labels/new", Target(Method.STATUS, "m", label="new")),
        ("GET", f"/v1/models/m/labels/{ENCODED}", Target(Method.STATUS, "m", label=RESERVED)),
        ("GET", "/v1/models/m/metadata", Target(Method.METADATA, "m")),
        (
            "GET",
            f"/v1/models/{ENCODED}/labels/{ENCODED}/metadata",
            Target(Method.METADATA, RESERVED, label=RESERVED),
        ),
        ("GET", "/v1/models/m/METADATA", Target(Method.STATUS, "m")),
        ("GET", "/v1/models/metadata", Target(Method.STATUS, "metadata")),
        ("POST", f"/v1/models/{ENCODED}:predict", Target(Method.PREDICT, RESERVED)),
        ("POST", "/V1/MODELS/m/VERSIONS/7:classify", Target(Method.CLASSIFY, "m", version=7)),
        (
            "POST",
            f"/v1/models/m/labels/{ENCODED}:regress",
            Target(Method.REGRESS, "m", label=RESERVED),
        ),
        (
            "POST",
            "/v1/models/m/versions/9223372036854775807:predict",
            Target(Method.PREDICT, "m", version=2**63 - 1),
        ),
    ],
)
def test_paths_with_a_meaning(method: str, path: str, target: Target) -> None:
    """Names and labels are decoded; case counts in names alone, and in the last word."""
    assert paths.parse(method, path) == target


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/none"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/models/a/b"),
        ("GET", "/v1/models/a:predict"),
        ("GET", "/v1/models/a/version/5:predict"),
        ("POST", "/v1/none"),
        ("POST", "/v1/models"),
        ("POST", "/v1/models/a"),
        ("POST", "/v1/models/a:PREDICT"),
        ("POST", "/v1/models/a:predict?b"),
        ("POST", "/v1/models/a/metadata"),
        ("POST", "/v1/models/a/version/5:regress"),
        ("POST", "/v1/models/a/label/b:regress"),
        ("POST", "/v1/models/a/versions/b:predict"),
        ("POST", "/v1/models/a/versions/٣:predict"),
        ("POST", "/v1/models/a/versions/5/labels/b:regress"),
        ("PUT", "/v1/models/a"),
        ("HEAD", "/v1/models/a"),
    ],
)
def test_malformed_paths(method: str, path: str) -> None:
    """Nothing but the whole path counts."""
    with pytest.raises(ServingError) as refused:
        paths.parse(method, path)
    assert refused.value.message == f"Malformed request: {method} {path}"


@pytest.mark.parametrize("digits", ["9223372036854775808", "18446744073709551615", "9" * 4500])
def test_versions_beyond_64_bits(digits: str) -> None:
    """They are refused by their own words."""
    with pytest.raises(ServingError, match="Failed to convert version"):
        paths.parse("POST", f"/v1/models/m/versions/{digits}:predict")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/versions/2", "/v1/models/labels/a"])
def test_no_model(path: str) -> None:
    """The status of none is asked for."""
    with pytest.raises(ServingError, match="Missing model name in request"):
        paths.parse("GET", path)


def test_what_is_served() -> None:
    """All below /v1/, whatever it means."""
    assert paths.is_served("/v1/models")
    assert paths.is_served("/V1/")
    assert not paths.is_served("/v1")
    assert not paths.is_served("/status")


def test_specs() -> None:
    """A target's message names version or label, or neither."""
    assert paths.parse("GET", "/v1/models/m/versions/0").spec().version.value == 0
    assert paths.parse("GET", "/v1/models/m/versions/0").spec().HasField("version")
    assert paths.parse("GET", "/v1/models/m/labels/a").spec().version_label == "a"
    assert paths.parse("GET", "/v1/models/m").spec().WhichOneof("version_choice") is None


@pytest.mark.parametrize(
    ("http_method", "method"), [("PUT", Method.PUT), ("DELETE", Method.REMOVE)]
)
def test_changes(http_method: str, method: Method) -> None:
    """Of a model by its name alone, and only where there may be any."""
    assert paths.parse(http_method, "/v1/models/a%2Fb", may_change=True) == Target(method, "a/b")
    for path in ("/v1/models/a/versions/5", "/v1/models/a:predict", "/v1/models", "/v1/models/a/b"):
        with pytest.raises(ServingError, match="Malformed request"):
            paths.parse(http_method, path, may_change=True)
    with pytest.raises(ServingError, match="Malformed request"):
        paths.parse(http_method, "/v1/models/a")
