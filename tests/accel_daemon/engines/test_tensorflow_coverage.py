"""What people's models are made of is admitted, and gives what plain TensorFlow gives."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from accel_protocol.manifest import Selection
from tests.accel_daemon.engines.conftest import load

FLOAT, STRING, INT, LONG = tf.float32, tf.string, tf.int32, tf.int64
PICTURE = (np.arange(300).reshape(10, 10, 3) % 256).astype(np.uint8)
BOXES = np.float32([[0, 0, 1, 1], [0, 0, 0.9, 1], [0.5, 0.5, 1, 1]])
SIGNAL = np.sin(np.arange(512, dtype=np.float32))
MATRIX = np.float32([[4, 1, 0], [1, 3, 1], [0, 1, 2]])
SEQUENCE = np.linspace(-1, 1, 40, dtype=np.float32).reshape(2, 5, 4)

Answer = Mapping[str, Any]


def text(*values: str) -> Any:
    """A string vector."""
    return np.array([value.encode() for value in values], object)


def example(**features: Any) -> bytes:
    """A serialized tf.Example."""
    kinds = {
        name: tf.train.Feature(float_list=tf.train.FloatList(value=value))
        if isinstance(value[0], float)
        else tf.train.Feature(bytes_list=tf.train.BytesList(value=[v.encode() for v in value]))
        for name, value in features.items()
    }
    message = tf.train.Example(features=tf.train.Features(feature=kinds))
    return bytes(message.SerializeToString())


def sound() -> bytes:
    """A short WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((SIGNAL * 1000).astype("<i2").tobytes())
    return buffer.getvalue()


def bitmap() -> bytes:
    """A picture of one red dot, uncompressed."""
    head = b"BM" + (58).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    sizes = b"".join(n.to_bytes(4, "little") for n in (40, 1, 1))
    return (
        head
        + sizes
        + (1).to_bytes(2, "little")
        + (24).to_bytes(2, "little")
        + bytes(24)
        + (b"\x00\x00\xff\x00")
    )


GIF = bytes.fromhex("47494638396101000100800000ff0000ffffff2c00000000010001000002024401003b")

CASES: dict[str, tuple[Callable[[Any], Answer], Any]] = {}


def case(value: Any) -> Callable[[Callable[[Any], Answer]], Callable[[Any], Answer]]:
    """Register a function that is computed for this value."""

    def register(function: Callable[[Any], Answer]) -> Callable[[Any], Answer]:
        CASES[function.__name__] = (function, value)
        return function

    return register


@case(BOXES)
def non_max_suppression(x: Any) -> Answer:
    """Both forms of it."""
    scores = tf.constant([0.9, 0.8, 0.7])
    chosen = tf.image.non_max_suppression(x, scores, 2, 0.5)
    padded, valid = tf.image.non_max_suppression_padded(
        x, scores, 5, 0.5, pad_to_max_output_size=True
    )
    combined = tf.image.combined_non_max_suppression(x[None, :, None], scores[None, :, None], 3, 3)
    return {"chosen": chosen, "padded": padded, "valid": valid, "boxes": combined.nmsed_boxes}


@case(text("Hello wörld", "a-b_c  d"))
def strings(x: Any) -> Answer:
    """Words, patterns, hashes and letters."""
    words = tf.strings.split(tf.strings.lower(x)).to_tensor("")
    return {
        "words": words,
        "joined": tf.strings.reduce_join(words, axis=1, separator="|"),
        "replaced": tf.strings.regex_replace(x, "[^a-z]+", "_"),
        "hash": tf.strings.to_hash_bucket_fast(x, 1000),
        "strong": tf.strings.to_hash_bucket_strong(x, 1000, [1, 2]),
        "length": tf.strings.length(x, "UTF8_CHAR"),
        "part": tf.strings.substr(x, 1, 3),
        "code": tf.io.encode_base64(x),
        "letters": tf.strings.unicode_decode(x, "UTF-8").to_tensor(),
        "grams": tf.strings.ngrams(words, 2),
        "numbers": tf.strings.to_number(tf.strings.as_string(tf.strings.length(x))),
        "matches": tf.strings.regex_full_match(x, ".*d"),
    }


@case(np.array([example(a=[1.0, 2.0], b=["x"]), example(a=[3.0, 4.0])], object))
def examples(x: Any) -> Answer:
    """What TensorFlow Serving's classify and regress are fed with."""
    parsed = tf.io.parse_example(
        x,
        {
            "a": tf.io.FixedLenFeature([2], FLOAT),
            "b": tf.io.VarLenFeature(STRING),
            "c": tf.io.FixedLenFeature([], LONG, 7),
            "r": tf.io.RaggedFeature(FLOAT),
        },
    )
    single = tf.io.parse_single_example(x[0], {"a": tf.io.FixedLenFeature([2], FLOAT)})
    dense = tf.sparse.to_dense(parsed["b"], "")
    return {"a": parsed["a"], "b": dense, "c": parsed["c"], "one": single["a"]}


@case(text("1,2.5,x", "3,4.5,y"))
def tables_of_text(x: Any) -> Answer:
    """Comma-separated values, and raw bytes."""
    first, second, third = tf.io.decode_csv(x, [[0], [0.0], [""]])
    return {"first": first, "second": second, "third": third, "raw": tf.io.decode_raw(x, tf.uint8)}


@case(PICTURE)
def pictures(x: Any) -> Answer:
    """To bytes and back, in every format."""
    jpeg, png = tf.io.encode_jpeg(x), tf.io.encode_png(x)
    return {
        "jpeg": tf.io.decode_jpeg(jpeg, 3),
        "small": tf.io.decode_jpeg(jpeg, 1, ratio=2),
        "png": tf.io.decode_png(png),
        "any": tf.io.decode_image(png, expand_animations=False),
        "cut": tf.image.decode_and_crop_jpeg(jpeg, [1, 1, 5, 5]),
        "gif": tf.io.decode_gif(tf.constant(GIF)),
        "bmp": tf.io.decode_bmp(tf.constant(bitmap())),
        "shape": tf.io.extract_jpeg_shape(jpeg),
    }


@case(PICTURE.astype(np.float32) / 255)
def changed_pictures(x: Any) -> Answer:
    """Sizes, colours, parts."""
    one = x[None]
    results = {
        method: tf.image.resize(one, (7, 5), method)
        for method in ("bilinear", "nearest", "bicubic", "area", "lanczos3")
    }
    return {
        **results,
        "hue": tf.image.adjust_hue(x, 0.2),
        "contrast": tf.image.adjust_contrast(x, 2.0),
        "saturation": tf.image.adjust_saturation(x, 2.0),
        "grey": tf.image.rgb_to_grayscale(x),
        "cut": tf.image.crop_and_resize(one, BOXES, [0, 0, 0], (4, 4)),
        "turned": tf.image.rot90(tf.image.flip_left_right(x)),
        "patches": tf.image.extract_patches(one, [1, 3, 3, 1], [1, 2, 2, 1], [1] * 4, "VALID"),
        "boxes": tf.image.draw_bounding_boxes(one, BOXES[None, :1], [[1.0, 0, 0]]),
        "glimpse": tf.image.extract_glimpse(one, (3, 3), [[0.0, 0.0]]),
        "edges": tf.image.sobel_edges(one),
    }


@case(SIGNAL)
def sounds(x: Any) -> Answer:
    """Spectra, and a file."""
    spectrum = tf.abs(tf.signal.stft(x, 128, 64))
    audio, rate = tf.audio.decode_wav(tf.constant(sound()))
    raw = tf.raw_ops.AudioSpectrogram(input=audio, window_size=128, stride=64)
    return {
        "spectrum": spectrum,
        "mel": tf.matmul(spectrum, tf.signal.linear_to_mel_weight_matrix(8, 65, 8000)),
        "mfcc": tf.raw_ops.Mfcc(spectrogram=raw, sample_rate=rate),
        "back": tf.signal.inverse_stft(tf.signal.stft(x, 128, 64), 128, 64),
        "plane": tf.math.real(tf.signal.fft2d(tf.cast(tf.reshape(x, (16, 32)), tf.complex64))),
        "dct": tf.signal.dct(x),
    }


@case(MATRIX)
def matrices(x: Any) -> Answer:
    """Linear algebra."""
    return {
        "inverse": tf.linalg.inv(x),
        "cholesky": tf.linalg.cholesky(x),
        "values": tf.linalg.eigvalsh(x),
        "singular": tf.linalg.svd(x, compute_uv=False),
        "solved": tf.linalg.solve(x, x[:, :1]),
        "determinant": tf.linalg.det(x),
        "einsum": tf.einsum("ij,kj->ik", x, x),
        "triangle": tf.linalg.band_part(x, 0, -1),
        "diagonal": tf.linalg.diag_part(x),
        "exponential": tf.linalg.expm(x),
    }


@case(np.int32(5))
def loops(x: Any) -> Answer:
    """Loops, branches, arrays."""
    total = tf.constant(0)
    array = tf.TensorArray(INT, 0, dynamic_size=True)
    for i in tf.range(x):
        if i % 2 == 0:
            total += i
        array = array.write(i, total)
    return {
        "total": total,
        "array": array.stack(),
        "mapped": tf.map_fn(lambda v: v * 2, tf.range(x)),
        "scanned": tf.scan(lambda a, v: a + v, tf.range(x)),
        "chosen": tf.switch_case(x % 3, [lambda i=i: tf.constant(i) for i in range(3)]),
        "vectorized": tf.vectorized_map(lambda v: v + 1, tf.range(x)),
    }


@case(np.float32([[0, 2, 0], [3, 0, 4]]))
def sparse_and_ragged(x: Any) -> Answer:
    """Tensors with holes and with uneven rows."""
    sparse = tf.sparse.from_dense(x)
    ragged = tf.RaggedTensor.from_tensor(x, padding=0)
    return {
        "product": tf.sparse.sparse_dense_matmul(sparse, tf.ones((3, 2))),
        "sum": tf.sparse.reduce_sum(sparse, 1),
        "dense": tf.sparse.to_dense(tf.sparse.reorder(sparse)),
        "ragged": ragged.to_tensor(),
        "means": tf.reduce_mean(ragged, axis=1),
        "embedded": tf.nn.embedding_lookup_sparse(
            tf.ones((5, 2)),
            tf.SparseTensor([[0, 0], [1, 1]], tf.constant([1, 2], LONG), [2, 2]),
            None,
        ),
        "filled": tf.sparse.fill_empty_rows(sparse, 0.0)[0].values,
        "counts": tf.sparse.to_dense(tf.sparse.bincount(tf.cast(sparse, INT), maxlength=5)),
    }


@case(np.float32([3, 1, 2, 1]))
def orders(x: Any) -> Answer:
    """Sorting, segments, sets, counts."""
    values, indices = tf.math.top_k(x, 2)
    unique, places, counts = tf.unique_with_counts(x)
    return {
        "values": values, "indices": indices, "unique": unique, "places": places,
        "counts": counts, "sorted": tf.sort(x), "argsort": tf.argsort(x, stable=True),
        "segments": tf.math.segment_sum(x, [0, 0, 1, 1]), "where": tf.where(x > 1),
        "sums": tf.cumsum(x), "bins": tf.math.bincount(tf.cast(x, INT)),
        "hot": tf.one_hot(tf.cast(x, INT), 4), "found": tf.searchsorted([1.0, 2.0], x),
        "in_top": tf.math.in_top_k([0], x[None], 1), "scattered": tf.scatter_nd([[1]], x[:1], [3]),
    }  # fmt: skip


@case(SEQUENCE)
def decoded_sequences(x: Any) -> Answer:
    """What follows a speech or text recognizer."""
    logits, lengths = tf.transpose(x, (1, 0, 2)), tf.constant([5, 4])
    (greedy,), score = tf.nn.ctc_greedy_decoder(logits, lengths)
    (best,), _ = tf.nn.ctc_beam_search_decoder(logits, lengths, 3, 1)
    return {
        "greedy": tf.sparse.to_dense(greedy), "score": score, "best": tf.sparse.to_dense(best),
        "reversed": tf.reverse_sequence(x, lengths, 1),
    }  # fmt: skip


@case(np.float32([[0.5, -2, 3, 0.25]]))
def fewer_bits(x: Any) -> Answer:
    """Quantization, simulated and real."""
    quantized = tf.quantization.quantize(x, -4.0, 4.0, tf.quint8)
    return {
        "fake": tf.quantization.fake_quant_with_min_max_args(x, -4, 4),
        "there_and_back": tf.quantization.quantize_and_dequantize_v2(x, -4.0, 4.0),
        "real": tf.quantization.dequantize(
            quantized.output, quantized.output_min, quantized.output_max
        ),
        "half": tf.cast(tf.cast(x, tf.float16) * 2, FLOAT),
        "brain": tf.cast(tf.cast(x, tf.bfloat16) * 2, FLOAT),
    }


@case(np.int32([1, 2]))
def random_numbers(x: Any) -> Answer:
    """Without state, so that they can be compared."""
    return {
        "uniform": tf.random.stateless_uniform([3], x),
        "normal": tf.random.stateless_normal([3], x),
        "cut": tf.random.stateless_truncated_normal([3], x),
        "numbers": tf.random.stateless_uniform([3], x, 0, 10, INT),
        "chosen": tf.random.stateless_categorical([[0.1, 0.9]], 3, x),
    }


@case(SEQUENCE)
def recurrent_cells(x: Any) -> Answer:
    """The fused cells of TensorFlow 1."""
    weights, zeros = tf.ones((4 + 3, 12)) * 0.1, tf.zeros((2, 3))
    lstm = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.constant(5, LONG), x=tf.transpose(x, (1, 0, 2)), cs_prev=zeros,
        h_prev=zeros, w=weights, wci=tf.zeros(3), wcf=tf.zeros(3), wco=tf.zeros(3), b=tf.zeros(12),
    )  # fmt: skip
    gru = tf.raw_ops.GRUBlockCell(
        x=x[:, 0], h_prev=zeros, w_ru=weights[:, :6], w_c=weights[:, :3], b_ru=tf.zeros(6),
        b_c=tf.zeros(3),
    )  # fmt: skip
    return {"lstm": lstm.h, "gru": gru.h}


class Everything(tf.Module):  # type: ignore[misc]
    """All cases as signatures of one model, and some with state."""

    def __init__(self, vocabulary: Path) -> None:
        super().__init__()
        file = tf.lookup.TextFileInitializer(str(vocabulary), STRING, 0, LONG, 1, delimiter=" ")
        self.from_file = tf.lookup.StaticHashTable(file, -1)
        pairs = tf.lookup.KeyValueTensorInitializer(["a", "b"], tf.constant([1, 2], LONG))
        self.from_pairs = tf.lookup.StaticVocabularyTable(pairs, 3)
        self.changing = tf.lookup.experimental.MutableHashTable(STRING, LONG, -1)
        self.changing.insert(tf.constant(["a", "z"]), tf.constant([10, 20], LONG))
        self.dense = tf.lookup.experimental.DenseHashTable(LONG, LONG, -1, -5, -6)
        self.dense.insert(tf.constant([3], LONG), tf.constant([30], LONG))
        self.embedding = tf.Variable(tf.reshape(tf.range(12.0), (6, 2)))
        self.half = tf.Variable([1.5, 2.5], dtype=tf.bfloat16)
        self.names = tf.Variable(["x", "y"])

    def tables(self, x: Any) -> Answer:
        """Lookup tables of every kind."""
        numbers = tf.strings.length(x)
        return {
            "file": self.from_file.lookup(x),
            "pairs": self.from_pairs.lookup(x),
            "changing": self.changing.lookup(x),
            "dense": self.dense.lookup(tf.cast(numbers, LONG)),
            "embedded": tf.gather(self.embedding, numbers),
            "half": tf.cast(self.half, FLOAT),
            "names": self.names.read_value(),
        }


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The model, and what plain TensorFlow answers."""
    folder = tmp_path_factory.mktemp("everything")
    (folder / "words.txt").write_text("a 5\nb 6\nzebra 7\n")
    model = Everything(folder / "words.txt")
    words = text("a", "zebra", "?")
    cases = {**CASES, "tables": (model.tables, words)}
    functions = {}
    for name, (function, value) in cases.items():
        shape = [None, *value.shape[1:]] if value.ndim else []
        kind = STRING if value.dtype == object else tf.as_dtype(value.dtype)
        spec = tf.TensorSpec(shape, kind, name="x")
        functions[name] = tf.function(function, input_signature=[spec])
    answers = {
        name: {k: v.numpy() for k, v in functions[name](tf.constant(value)).items()}
        for name, (_, value) in cases.items()
    }
    tf.saved_model.save(model, str(folder / "model"), functions)
    (folder / "words.txt").unlink()
    return folder / "model", {n: (cases[n][1], answers[n]) for n in cases}


@pytest.mark.parametrize("name", [*CASES, "tables"])
def test_signatures_give_what_tensorflow_gives(
    everything: tuple[Path, dict[str, Any]], name: str
) -> None:
    """One signature at a time, of a model that has them all."""
    folder, cases = everything
    value, expected = cases[name]
    answer = load(folder, Selection(signature=name)).run({"x": np.asarray(value)}, None)
    assert set(answer) == set(expected)
    for key, wanted in expected.items():
        if answer[key].dtype == object:
            assert answer[key].tolist() == wanted.tolist()
        else:
            np.testing.assert_allclose(answer[key], wanted, 1e-4, 1e-5, err_msg=key)


def recurrent(x: Any) -> Any:
    """Keras's recurrent layers, which have a function for each device."""
    layers = tf.keras.layers
    return layers.Bidirectional(layers.GRU(3))(layers.LSTM(3, return_sequences=True)(x))


def attention(x: Any) -> Any:
    """What today's text models are made of."""
    layers = tf.keras.layers
    x = layers.LayerNormalization()(layers.MultiHeadAttention(2, 3)(x, x))
    return layers.Dense(4, activation="gelu")(layers.Dropout(0.5)(x))


def convolutions(x: Any) -> Any:
    """In one, two and three dimensions, there and back."""
    layers = tf.keras.layers
    x = layers.BatchNormalization()(layers.Conv1D(8, 2)(x))
    x = layers.Conv2DTranspose(4, 2)(layers.Reshape((4, 2, 4))(x))
    x = layers.DepthwiseConv2D(2)(layers.SeparableConv2D(4, 2, padding="same")(x))
    x = layers.Conv3D(2, 1, activation="relu")(layers.Reshape((4, 2, 2, 2))(x))
    return layers.GlobalAveragePooling3D()(x)


@pytest.mark.parametrize("build", [recurrent, attention, convolutions])
def test_exports_of_keras_give_what_keras_gives(
    tmp_path: Path, build: Callable[[Any], Any]
) -> None:
    """With the layers as they are exported for serving."""
    inputs = tf.keras.Input((5, 4))
    model = tf.keras.Model(inputs, build(inputs))
    expected = np.asarray(model(SEQUENCE))
    model.export(str(tmp_path / "model"))
    graph = load(tmp_path / "model", Selection(signature="serve"))
    (feed,), (fetch,) = graph.feeds, graph.fetches
    np.testing.assert_allclose(graph.run({feed: SEQUENCE}, None)[fetch], expected, 1e-4, 1e-5)
