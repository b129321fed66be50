"""Reading feeds from files, pictures and JSON."""

from __future__ import annotations

import builtins
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol.errors import ConfigurationError, FeedError
from client_runtime.cli.inputs import parse_json, read_inputs
from client_runtime.models.saved_model import TensorInfo

FLOATS = TensorInfo("x:0", 1, (-1, 2))
STRINGS = TensorInfo("s:0", 7, (-1,))
IMAGES = TensorInfo("image:0", 4, (1, -1, -1, 3))


def read(text: str, info: TensorInfo = FLOATS, stdin: bytes = b"") -> Any:
    """The value of the one feed x."""
    return read_inputs([text], {"x": info}, lambda: stdin)["x"]


def test_npy(tmp_path: Path) -> None:
    """An array file is read as it is."""
    np.save(tmp_path / "a.npy", np.arange(4.0).reshape(2, 2))

    assert read(f"x=@{tmp_path}/a.npy").tolist() == [[0, 1], [2, 3]]


def test_npz_by_key_and_without(tmp_path: Path) -> None:
    """A key chooses an array; it may be left out when there is one."""
    np.savez(tmp_path / "one.npz", a=[1])
    np.savez(tmp_path / "two.npz", a=[1], b=[2])

    assert read(f"x=@{tmp_path}/one.npz").tolist() == [1]
    assert read(f"x=@{tmp_path}/two.npz:b").tolist() == [2]


@pytest.mark.parametrize("key", ["", ":c"])
def test_npz_lists_its_keys(tmp_path: Path, key: str) -> None:
    """An unknown or missing key is answered with those there are."""
    np.savez(tmp_path / "two.npz", a=[1], b=[2])

    with pytest.raises(FeedError, match="arrays a, b"):
        read(f"x=@{tmp_path}/two.npz{key}")


class Bomb:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_no_pickle_is_loaded(tmp_path: Path, suffix: str) -> None:
    """A file that would run code is refused, and runs none."""
    mark, file = tmp_path / "mark", tmp_path / f"a.{suffix}"
    array = np.array([Bomb(mark)], dtype=object)
    if suffix == "npy":
        np.save(file, array, allow_pickle=True)
    else:
        np.savez(file, x=array)

    with pytest.raises(FeedError):
        read(f"x=@{file}")
    file.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(FeedError):
        read(f"x=@{file}")
    assert not mark.exists()


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.json", "a.png", "a.jpg", "a.bin"])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x93NUMPY\x01\x00", b"PK\x03\x04"])
def test_broken_files_are_feed_errors(tmp_path: Path, name: str, content: bytes) -> None:
    """Whatever a file holds, the error names the feed."""
    (tmp_path / name).write_bytes(content)

    with pytest.raises(FeedError, match="Feed 'x'"):
        read(f"x=@{tmp_path}/{name}", IMAGES)


def test_an_archive_under_an_array_files_name(tmp_path: Path) -> None:
    """np.load opens an archive whatever it is called; here the name counts."""
    np.savez(tmp_path / "a.npz", a=[1])
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")

    with pytest.raises(FeedError, match="not what its name says"):
        read(f"x=@{tmp_path}/a.npy")


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    """As everywhere in Python."""
    with pytest.raises(FileNotFoundError):
        read(f"x=@{tmp_path}/a.npy")


def test_a_missing_picture_is_an_os_error(tmp_path: Path) -> None:
    """A picture that is not there is not called a broken one."""
    with pytest.raises(FileNotFoundError):
        read(f"x=@{tmp_path}/a.png", IMAGES)


def test_json_file_and_standard_input(tmp_path: Path) -> None:
    """JSON is read from a file, from standard input and from the command line alike."""
    (tmp_path / "a.json").write_text("[[1, 2]]")

    assert read(f"x=@{tmp_path}/a.json") == read("@-", stdin=b"[[1, 2]]") == read("[[1, 2]]")


def picture(path: Path, mode: str = "RGB") -> Path:
    """A picture of 3 rows and 5 columns, bright on its right."""
    image = pytest.importorskip("PIL.Image")
    made = image.new(mode, (5, 3))
    made.putpixel((4, 1), {"RGB": (250, 0, 0), "L": 250, "RGBA": (250, 0, 0, 9)}[mode])
    made.save(path)
    return path


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((1, -1, -1, 3), (1, 3, 5, 3)),
        ((-1, -1, -1, -1), (1, 3, 5, 3)),
        ((-1, -1, 3), (3, 5, 3)),
        (None, (1, 3, 5, 3)),
        ((-1, -1, -1, 1), (1, 3, 5, 1)),
        ((-1, -1, 4), (3, 5, 4)),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_pictures_take_the_feeds_rank_and_channels(
    tmp_path: Path, shape: tuple[int, ...] | None, wanted: tuple[int, ...], mode: str
) -> None:
    """Rows come first, and there are as many channels as the feed wants."""
    value = read(f"x=@{picture(tmp_path / 'a.png', mode)}", TensorInfo("x:0", 4, shape))

    assert (value.shape, value.dtype) == (wanted, np.uint8)
    pixels = value.reshape(3, 5, -1)
    assert pixels[1, 4, 0] > 70
    assert pixels[0, 0, 0] == 0


@pytest.mark.parametrize("shape", [(), (-1,), (1, 1, 1, 1, 3)])
def test_feeds_of_other_ranks_take_no_picture(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """A vector of pixels is for the caller to make."""
    with pytest.raises(FeedError, match="a picture needs 3 or 4"):
        read(f"x=@{picture(tmp_path / 'a.png')}", TensorInfo("x:0", 4, shape))


def test_without_pillow_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow is optional, and named where it is missed."""
    path, real = picture(tmp_path / "a.png"), builtins.__import__

    def without_pillow(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "PIL":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_pillow)
    with pytest.raises(ConfigurationError, match="Pillow") as caught:
        read(f"x=@{path}", IMAGES)

    assert caught.value.remedy == "pip install pillow"


@pytest.mark.parametrize(("shape", "wanted"), [((), ()), ((-1,), (1,)), (None, ())])
def test_string_feeds_take_any_files_bytes(
    tmp_path: Path, shape: tuple[int, ...] | None, wanted: tuple[int, ...]
) -> None:
    """A model that decodes pictures itself gets the file, trailing zeros and all."""
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\x00")

    value = read(f"x=@{tmp_path}/a.jpg", TensorInfo("s:0", 7, shape))

    assert value.shape == wanted
    assert value.reshape(-1).tolist() == [b"\xff\xd8\x00"]


def test_bytes_in_json() -> None:
    """{"b64": …} stands for bytes at any depth."""
    assert parse_json("x", '[["a", {"b64": "/wA="}]]') == [["a", b"\xff\x00"]]


def test_numbers_that_are_not_finite() -> None:
    """What `accel predict --json` writes can be read again."""
    value = parse_json("x", "[NaN, Infinity, -Infinity]")

    assert str(value) == "[nan, inf, -inf]"


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[1, null]", '{"a": 1}', '{"b64": "%"}', '{"b64": 1}', "[" * 100_000, "\xff"],
)
def test_wrong_json_is_a_feed_error(text: str) -> None:
    """What no tensor can hold is said with the feed's name, however deep it is."""
    with pytest.raises(FeedError, match="Feed 'x'"):
        parse_json("x", text.encode("latin-1"))


@given(st.binary())
def test_any_bytes_are_json_or_a_feed_error(content: bytes) -> None:
    """Nothing but a FeedError leaves the reader."""
    try:
        parse_json("x", content)
    except FeedError as error:
        assert error.remedy
