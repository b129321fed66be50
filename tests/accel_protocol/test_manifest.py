"""One model has one manifest and one graph id, and no manifest names what lies elsewhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_protocol import manifest as manifests
from accel_protocol.errors import LimitError, ModelError
from accel_protocol.limits import DEFAULT_LIMITS, MIB, Limits
from accel_protocol.manifest import BundleFile, Manifest, Selection, is_safe_name, parse

VECTORS = json.loads(
    (Path(__file__).parents[2] / "protos" / "vectors" / "manifests.json").read_text("utf-8")
)
DIGEST = hashlib.sha256(b"content").hexdigest()
FILE = BundleFile("saved_model.pb", 7, DIGEST)
BY_KEY = Manifest(manifests.SAVED_MODEL, (FILE,), Selection(signature="serving_default"))
BY_NAME = replace(
    BY_KEY,
    files=(BundleFile("assets/words.txt", 0, DIGEST), FILE),
    selection=Selection(("gpu", "serve"), feeds={"x": "x:0"}, fetches={"y": "y:0"}),
    options={"threads": "2"},
)

NAMES = st.text(st.characters(codec="utf-8"), max_size=12)
SAFE_NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(is_safe_name)
TAGS = st.sets(NAMES, max_size=3).map(lambda tags: tuple(sorted(tags)))
SELECTIONS = st.one_of(
    st.builds(Selection, TAGS, NAMES),
    st.builds(
        Selection,
        TAGS,
        st.none(),
        st.dictionaries(NAMES, NAMES, max_size=3),
        st.dictionaries(NAMES, NAMES, max_size=3),
    ),
)
FILES = st.dictionaries(SAFE_NAMES, st.integers(0, 2**33), min_size=1, max_size=4).map(
    lambda sizes: tuple(BundleFile(name, sizes[name], DIGEST) for name in sorted(sizes))
)
MANIFESTS = st.builds(Manifest, NAMES, FILES, SELECTIONS, st.dictionaries(NAMES, NAMES, max_size=3))


def canonical(value: object) -> bytes:
    """A value in canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8")


def document(manifest: Manifest = BY_KEY) -> dict[str, Any]:
    """A manifest as plain JSON values, to be broken."""
    value: dict[str, Any] = json.loads(manifest.canonical())
    return value


def file_named(name: str) -> dict[str, Any]:
    """A document whose one file has this name."""
    value = document()
    value["files"][0]["name"] = name
    return value


def refused(value: object) -> None:
    """The canonical form of this value is no manifest."""
    with pytest.raises(ModelError):
        parse(canonical(value), DEFAULT_LIMITS)


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_the_vectors_are_canonical(vector: dict[str, str]) -> None:
    """Every manifest of the test vectors is read, and written again to the same bytes."""
    data = vector["manifest"].encode("utf-8")
    assert parse(data, DEFAULT_LIMITS).canonical() == data


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_the_vectors_have_these_graph_ids(vector: dict[str, str]) -> None:
    """The graph id of every manifest of the test vectors is the one that stands there."""
    manifest = parse(vector["manifest"].encode("utf-8"), DEFAULT_LIMITS)
    assert manifest.graph_id().hex() == vector["graph_id"]


@given(MANIFESTS)
@settings(deadline=None)
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    """`parse` undoes `canonical`."""
    assert parse(manifest.canonical(), DEFAULT_LIMITS) == manifest


@given(MANIFESTS)
@settings(deadline=None)
def test_the_graph_id_is_the_digest_of_the_canonical_form(manifest: Manifest) -> None:
    """Anyone can compute it with SHA-256 and JSON."""
    expected = hashlib.sha256(canonical(json.loads(manifest.canonical()))).digest()
    assert manifest.graph_id() == expected


CHANGED = [
    replace(BY_NAME, format="other"),
    replace(BY_NAME, files=BY_NAME.files[1:]),
    replace(BY_NAME, files=(replace(BY_NAME.files[0], name="assets/other.txt"), FILE)),
    replace(BY_NAME, files=(replace(BY_NAME.files[0], size=1), FILE)),
    replace(BY_NAME, files=(replace(BY_NAME.files[0], sha256="0" * 64), FILE)),
    replace(BY_NAME, selection=replace(BY_NAME.selection, tags=("serve",))),
    replace(BY_NAME, selection=replace(BY_NAME.selection, signature="")),
    replace(BY_NAME, selection=replace(BY_NAME.selection, feeds={"x": "x:1"})),
    replace(BY_NAME, selection=replace(BY_NAME.selection, feeds={"z": "x:0"})),
    replace(BY_NAME, selection=replace(BY_NAME.selection, fetches={"y": "y:1"})),
    replace(BY_NAME, options={"threads": "3"}),
    replace(BY_NAME, options={}),
]


@pytest.mark.parametrize("changed", CHANGED, ids=range(len(CHANGED)))
def test_any_change_changes_the_graph_id(changed: Manifest) -> None:
    """Two models that could behave differently never share an id."""
    assert changed.graph_id() != BY_NAME.graph_id()


def test_the_order_of_aliases_does_not_matter() -> None:
    """Equal mappings have one canonical form."""
    one = replace(
        BY_NAME, selection=Selection(feeds={"a": "a:0", "b": "b:0"}, fetches={"y": "y:0"})
    )
    two = replace(
        BY_NAME, selection=Selection(feeds={"b": "b:0", "a": "a:0"}, fetches={"y": "y:0"})
    )
    assert one.graph_id() == two.graph_id()


NOT_CANONICAL: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("a blank", lambda data: data.replace(b'":', b'": ', 1)),
    ("a line break at the end", lambda data: data + b"\n"),
    ("a byte order mark", lambda data: b"\xef\xbb\xbf" + data),
    ("UTF-16", lambda data: data.decode().encode("utf-16")),
    ("an escape that need not be", lambda data: data.replace(b"serve", b"\\u0073erve", 1)),
    ("a member twice", lambda data: b'{"version":1,' + data[1:]),
    (
        "members out of order",
        lambda data: b'{"version":1,' + data[1:].replace(b',"version":1', b""),
    ),
    ("an unknown member", lambda data: b'{"a":1,' + data[1:]),
    ("a leading plus", lambda data: data.replace(b'"size":7', b'"size":+7')),
    ("a leading zero", lambda data: data.replace(b'"size":7', b'"size":07')),
    ("a negative zero", lambda data: data.replace(b'"size":7', b'"size":-0')),
]


@pytest.mark.parametrize("change", [c for _, c in NOT_CANONICAL], ids=[n for n, _ in NOT_CANONICAL])
def test_what_is_not_canonical_is_refused(change: Callable[[bytes], bytes]) -> None:
    """Other spellings of the same manifest would give one model several ids."""
    data = BY_KEY.canonical()
    changed = change(data)
    assert changed != data
    with pytest.raises(ModelError):
        parse(changed, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/x",
        "x/",
        "a//b",
        ".",
        "..",
        "../x",
        "a/../b",
        "a/./b",
        "a\\b",
        "..\\x",
        "C:x",
        "C:/x",
        "a:b",
        "nul\x00",
        "a\nb",
        "\x1f",
        "x" * 256,
        "x" * 300,
        "/".join(["a"] * 17),
        "/".join(["x" * 250] * 5),
    ],
)
def test_unsafe_names_are_refused(name: str) -> None:
    """No name leaves the bundle's folder, on any operating system."""
    assert not is_safe_name(name)
    refused(file_named(name))


@pytest.mark.parametrize(
    "name", ["x", "x" * 255, "...", "a..b", ".hidden", "a b", "größe/☃", "/".join(["a"] * 16)]
)
def test_ordinary_names_are_taken(name: str) -> None:
    """What only looks odd is a name like any other."""
    assert parse(canonical(file_named(name)), DEFAULT_LIMITS).files[0].name == name


@given(st.text(max_size=30))
@settings(deadline=None, max_examples=300)
def test_a_safe_name_stays_in_its_folder(name: str) -> None:
    """Joined to a folder, a name that is let through lies below it."""
    if is_safe_name(name):
        assert Path("/bundle", name).is_relative_to("/bundle")
        assert ".." not in Path(name).parts


@pytest.mark.parametrize(
    "name", ["é" * 200, "☃" * 100], ids=["two bytes a character", "three bytes a character"]
)
def test_names_too_long_for_a_file_system_are_refused(name: str) -> None:
    """A part above 255 bytes cannot be a file's name on Linux."""
    assert not is_safe_name(name)


@pytest.mark.parametrize(
    "sha256",
    ["", DIGEST[:-1], DIGEST + "0", DIGEST.upper(), "g" * 64, DIGEST + "\n", "../" + DIGEST],
)
def test_wrong_digests_are_refused(sha256: str) -> None:
    """A digest is 64 lower-case hexadecimal digits, because it becomes a file's name."""
    value = document()
    value["files"][0]["sha256"] = sha256
    refused(value)


@pytest.mark.parametrize("size", [-1, True, False, 1.0, 7.5, float("nan"), float("inf"), "7", None])
def test_sizes_are_whole_numbers_from_zero(size: object) -> None:
    """Neither floats nor booleans nor text nor negative numbers."""
    value = document()
    value["files"][0]["size"] = size
    refused(value)


@pytest.mark.parametrize("version", [True, 0, 2, 1.0, "1", None, [1]])
def test_other_versions_are_refused(version: object) -> None:
    """Only version 1 can be read, and it is a number."""
    refused({**document(), "version": version})


@pytest.mark.parametrize(
    "files",
    [
        [],
        {},
        ["saved_model.pb"],
        [{"name": "b", "size": 1, "sha256": DIGEST}, {"name": "a", "size": 1, "sha256": DIGEST}],
        [{"name": "a", "size": 1, "sha256": DIGEST}, {"name": "a", "size": 1, "sha256": DIGEST}],
        [{"name": "a", "size": 1, "sha256": DIGEST}, {"name": "a", "size": 2, "sha256": DIGEST}],
        [{"name": "a", "size": 1}],
        [{"name": 1, "size": 1, "sha256": DIGEST}],
    ],
)
def test_files_are_listed_sorted_and_once(files: object) -> None:
    """An empty list, another order, a name twice and malformed entries are refused."""
    refused({**document(), "files": files})


def test_a_file_below_a_file_is_refused() -> None:
    """No folder can hold both "a" and "a/b" where "a" is a file."""
    files = [{"name": name, "size": 1, "sha256": DIGEST} for name in ("a", "a/b")]
    refused({**document(), "files": files})


@pytest.mark.parametrize(
    "selection",
    [
        {},
        [],
        None,
        {"tags": "serve", "signature": "s"},
        {"tags": ["serve", "gpu"], "signature": "s"},
        {"tags": ["serve", "serve"], "signature": "s"},
        {"tags": [1], "signature": "s"},
        {"tags": ["serve"], "signature": None},
        {"tags": ["serve"], "signature": 1},
        {"tags": ["serve"], "signature": "s", "feeds": {}, "fetches": {}},
        {"tags": ["serve"], "feeds": {"x": 1}, "fetches": {}},
        {"tags": ["serve"], "feeds": [], "fetches": {}},
        {"tags": ["serve"], "feeds": {}},
        {"tags": ["serve"]},
    ],
)
def test_a_selection_has_one_of_two_forms(selection: object) -> None:
    """Tags and a signature's key, or tags with feeds and fetches, all of them text."""
    refused({**document(), "selection": selection})


@pytest.mark.parametrize("missing", ["version", "format", "files", "selection", "options"])
def test_every_member_has_to_be_there(missing: str) -> None:
    """A member left out has no default."""
    value = document()
    del value[missing]
    refused(value)


@pytest.mark.parametrize("options", [[], None, {"a": 1}, {"a": None}, {"a": True}, "text"])
def test_options_are_text(options: object) -> None:
    """Names and values of options are strings."""
    refused({**document(), "options": options})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"1",
        b'"text"',
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"9" * 5000,
        BY_KEY.canonical().replace(b"serving_default", b"\\ud800"),
    ],
    ids=range(11),
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    """Other JSON, no JSON, nesting without end and text that UTF-8 cannot hold."""
    with pytest.raises(ModelError):
        parse(data, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("name", "actual"),
    [("manifest_bytes", len(BY_NAME.canonical())), ("bundle_files", 2), ("file_bytes", 7)],
)
def test_limits_hold_one_above(name: str, actual: int) -> None:
    """A manifest at and below a limit is read, one above it is refused."""
    for limit in (actual, actual + 1):
        assert parse(BY_NAME.canonical(), Limits(**{name: limit})) == BY_NAME
    with pytest.raises(LimitError) as caught:
        parse(BY_NAME.canonical(), Limits(**{name: actual - 1}))
    assert caught.value.fields["name"] == name


def test_a_long_text_is_refused_before_it_is_read() -> None:
    """A manifest above the bound is a LimitError even when it is no JSON at all."""
    with pytest.raises(LimitError):
        parse(b"[" * (MIB + 1), DEFAULT_LIMITS)


@given(st.binary(max_size=80))
@settings(deadline=None, max_examples=200)
def test_any_bytes_are_refused_in_one_way(data: bytes) -> None:
    """Bytes of a stranger raise ModelError or LimitError, nothing else."""
    with pytest.raises((ModelError, LimitError)):
        parse(data, DEFAULT_LIMITS)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["tags", "name", "size", "sha256", "x"]), inner, max_size=3
        ),
    ),
    max_leaves=8,
)


@given(st.sampled_from(sorted(document())), JSON)
@settings(deadline=None, max_examples=200)
def test_any_value_of_a_member_is_read_or_refused(member: str, value: object) -> None:
    """Any JSON in a member's place gives a manifest that writes the same, or a refusal."""
    text = json.dumps({**document(), member: value}, sort_keys=True, separators=(",", ":"))
    data = text.encode()
    try:
        manifest = parse(data, DEFAULT_LIMITS)
    except (ModelError, LimitError):
        return
    assert manifest.canonical() == data


@given(st.integers(0, len(BY_NAME.canonical()) - 1), st.binary(max_size=2))
@settings(deadline=None, max_examples=300)
def test_any_damage_is_read_or_refused(position: int, replaced: bytes) -> None:
    """A manifest with one byte replaced never reads as what it was."""
    data = BY_NAME.canonical()
    damaged = data[:position] + replaced + data[position + 1 :]
    try:
        manifest = parse(damaged, DEFAULT_LIMITS)
    except (ModelError, LimitError):
        return
    assert (manifest == BY_NAME) == (damaged == data)


@pytest.mark.parametrize("word", ["path", "/home", "Traceback", "saved_model.pb"])
def test_refusals_do_not_repeat_what_was_sent(word: str) -> None:
    """The message says what is wrong, not where and with what content."""
    with pytest.raises(ModelError) as caught:
        parse(canonical(file_named(f"../{word}")), DEFAULT_LIMITS)
    assert word not in caught.value.message
