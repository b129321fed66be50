"""How `import tensorflow` is changed, shown on a stand-in with the layout of TensorFlow 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ACCEL = [sys.executable, "-c", "from client_runtime.cli.main import main; main()"]

# As in TensorFlow: names live in _api/v2 and, for version 1, in _api/v2/compat/v1.
STAND_IN = {
    "tensorflow/__init__.py": """
import os
from tensorflow._api.v2 import compat, train
__version__ = "2.99"
__path__.append(os.path.join(__path__[0], "_api", "v2"))
Shared = train.Shared
placement = "v2"
""",
    "tensorflow/python/__init__.py": "from tensorflow._api.v2 import train as internal",
    "tensorflow/python/pywrap_tensorflow.py": "",
    "tensorflow/python/framework/__init__.py": "",
    "tensorflow/python/framework/graph_util.py": "",
    "tensorflow/python/framework/ops.py": "Tensor = 'already here'",
    "tensorflow/_api/v2/compat/__init__.py": "from tensorflow._api.v2.compat import v1",
    "tensorflow/_api/v2/compat/v1/__init__.py": """
from tensorflow._api.v2.compat.v1 import gfile, train
from tensorflow._api.v2.compat.v1 import graph_util
import logging
Tensor = "v1 tensor"
__version__ = "2.99"
Shared = train.Shared
placement = "v1"
Session = "a session"
behaviour = []
def disable_v2_behavior():
    logging.getLogger("tensorflow").warning("deprecated")
    behaviour.append(1)
""",
    "tensorflow/_api/v2/compat/v1/gfile/__init__.py": "Exists = 'v1 exists'",
    "tensorflow/_api/v2/compat/v1/train/__init__.py": """
from tensorflow._api.v2.train import Shared
Saver = "v1 saver"
NewCheckpointReader = "a reader"
""",
    "tensorflow/_api/v2/compat/v1/graph_util/__init__.py": (
        "convert_variables_to_constants = 'a function'"
    ),
    "tensorflow/_api/v2/__init__.py": "",
    "tensorflow/_api/v2/train/__init__.py": """
class Shared: pass
Checkpoint = "v2 checkpoint"
""",
    # A library of TensorFlow 2's time, and a module of the script's own.
    "keras/__init__.py": """
import importlib
import tensorflow as tf
from tensorflow.train import Checkpoint
def views():
    return tf.placement, hasattr(tf, "Session"), hasattr(importlib.import_module("tensorflow"), "x")
""",
    "neighbour.py": "import tensorflow as tf; placement = tf.placement",
}

SCRIPTS = {
    "names and behaviour are version 1's, the version is the real one": (
        "import tensorflow as tf\n"
        "print(tf.Session, tf.placement, tf.gfile.Exists, tf.train.Saver, tf.behaviour)\n"
        "print(tf.__version__, tf.compat.v1.Session, 'contrib' in dir(tf), 'Session' in dir(tf))",
        "a session v1 v1 exists v1 saver [1]\n2.99 a session True True\n",
    ),
    "names can be imported": (
        "import tensorflow.gfile\n"
        "import tensorflow.gfile as g, tensorflow.train as t\n"
        "from tensorflow.train import Saver\n"
        "from tensorflow import Session, train\n"
        "from tensorflow.python import internal\n"
        "import tensorflow as tf\n"
        "print(g.Exists, t.Saver, Saver, Session, train.Saver, internal.Checkpoint, t is tf.train)",
        "v1 exists v1 saver v1 saver a session v1 saver v2 checkpoint True\n",
    ),
    "classes are the same under both versions": (
        "import tensorflow as tf, tensorflow.compat.v1 as v1\n"
        "print(isinstance(tf.Shared(), v1.Shared), v1.Session is tf.Session)",
        "True True\n",
    ),
    "modules of the script's own see what the script sees": (
        "import neighbour; print(neighbour.placement)",
        "v1\n",
    ),
    "libraries of version 2 see version 2, before and after": (
        "import tensorflow.train, keras, tensorflow as tf\n"
        "tf.x = 1\n"
        "print(keras.views(), keras.Checkpoint, tf.placement, tf.x)",
        "('v2', False, True) v2 checkpoint v1 1\n",
    ),
    "what the script sets is what it gets": (
        "import tensorflow as tf, keras\n"
        "tf.placement = 'mine'; print(tf.placement, keras.tf is tf, keras.views()[0])\n"
        "del tf.placement; print(tf.placement)",
        "mine True v2\nv1\n",
    ),
    "moved names are back, where they are missing": (
        "from tensorflow.python.framework import graph_util, ops\n"
        "from tensorflow.python.pywrap_tensorflow import NewCheckpointReader\n"
        "print(graph_util.convert_variables_to_constants, ops.Tensor, NewCheckpointReader)",
        "a function already here a reader\n",
    ),
    "contrib is there, and absent names are named": (
        "import tensorflow as tf\n"
        "print(tf.contrib.predictor.__name__, hasattr(tf, 'nonesuch'), hasattr(tf.contrib, 'rnn'))",
        "tensorflow.contrib.predictor False False\n",
    ),
}


def accel_run(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """`accel run` of a script in a folder."""
    (folder / "script.py").write_text(text)
    return subprocess.run(
        [*ACCEL, "run", "script.py"], cwd=folder, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A folder with the stand-in and its users, where scripts find them first."""
    for name, text in STAND_IN.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(("text", "expected"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_script_sees_version_1(stand_in: Path, text: str, expected: str) -> None:
    """What a script prints; nothing on the standard error, deprecation warnings included."""
    done = accel_run(stand_in, text)

    assert (done.stdout, done.stderr, done.returncode) == (expected, "", 0)


def test_traceback_through_an_import_shows_only_the_script(stand_in: Path) -> None:
    """The code that makes an import fail with good words does not show itself."""
    done = accel_run(stand_in, "import tensorflow as tf\nfrom tensorflow.contrib import slim")

    assert done.returncode == 1
    assert done.stderr == (
        "Traceback (most recent call last):\n"
        f'  File "{stand_in}/script.py", line 2, in <module>\n'
        "    from tensorflow.contrib import slim\n"
        "ModuleNotFoundError: TensorFlow 2 has no tensorflow.contrib.slim. "
        "What replaced it: the package tf_slim.\n"
    )


def test_missing_tensorflow_is_said_with_a_remedy(tmp_path: Path) -> None:
    """Without TensorFlow its import fails as ever, and says what to install."""
    text = (
        "import sys\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if 'client_runtime' in repr(f)]\n"
        "sys.path[:] = []\n"
        "import tensorflow\n"
    )
    done = accel_run(tmp_path, text)

    assert done.returncode == 1
    assert "ModuleNotFoundError: No module named 'tensorflow'. " in done.stderr
    assert "pip install 'elastic-accelerator[compat]'" in done.stderr
    assert "client_runtime" not in done.stderr
