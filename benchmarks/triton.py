"""A peer: NVIDIA's Triton with TLS and a key, TensorFlow inside, and models that the client ships.

Runs in an environment with nvidia-pytriton, which has the server's program, and TensorFlow; of this
project it needs these files alone. Model control is explicit: the repository is empty, and a model
comes with the request that loads it.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path
from typing import Any

from benchmarks.work import FEED, FETCH, WORKS
from benchmarks.worker import Caller

_KEY_HEADER = "benchmark-key"
_START_SECONDS = 60.0
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_MODEL = Path(__file__).with_name("triton_model.py")


class Triton:
    """See the module.

    Args:
        models: folder of the SavedModels.
        certificates: folder of the server's certificate and key, and of the authority's.
        folder: where the server has what it needs; made here, removed by whoever gave it.
    """

    def __init__(self, models: str, certificates: str, folder: str) -> None:
        self._models, self._certificates = Path(models), Path(certificates)
        self._key, self._port = secrets.token_hex(16), _free_port()
        self._folder = Path(folder)
        (self._folder / "tmp").mkdir(parents=True)
        self._loaded: set[str] = set()
        self._server = self._start()
        self._wait()

    def _start(self) -> subprocess.Popen[bytes]:
        import pytriton

        home = _unpacked(Path(pytriton.__file__).parent / "tritonserver", self._folder / "server")
        repository = self._folder / "repository"
        repository.mkdir()
        packages = Path(sysconfig.get_path("purelib"))
        folders = (packages / "nvidia_pytriton.libs", sysconfig.get_config_var("LIBDIR"))
        libraries = ":".join(map(str, folders))
        return subprocess.Popen(
            [str(home / "bin" / "tritonserver"), *self._options(home, repository)],
            env={
                **os.environ,
                # The backend takes the packages of the first Python that it finds.
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "TMPDIR": str(self._folder / "tmp"),
                "LD_LIBRARY_PATH": libraries,
                "PYTHONPATH": str(packages),
            },
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL),
        )

    def _options(self, home: Path, repository: Path) -> list[str]:
        protected = "inference,model-repository,metadata,model-config,shared-memory"
        return [
            f"--model-repository={repository}",
            f"--backend-directory={home / 'backends'}",
            "--model-control-mode=explicit",
            "--backend-config=python,shm-default-byte-size=67108864",
            "--allow-http=false",
            "--allow-metrics=false",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={self._port}",
            "--grpc-use-ssl=true",
            f"--grpc-server-cert={self._certificates / 'server.pem'}",
            f"--grpc-server-key={self._certificates / 'server.key'}",
            "--exit-timeout-secs=5",
            f"--grpc-restricted-protocol={protected}:{_KEY_HEADER}={self._key}",
        ]

    def close(self) -> None:
        """End the server, which ends the models' processes."""
        self._server.terminate()
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def _client(self) -> Any:
        import tritonclient.grpc as client

        return client.InferenceServerClient(
            f"localhost:{self._port}",
            ssl=True,
            root_certificates=str(self._certificates / "ca.pem"),
        )

    def _wait(self) -> None:
        give_up = time.monotonic() + _START_SECONDS
        while time.monotonic() < give_up:
            if self._server.poll() is not None:
                raise OSError(f"tritonserver ended with status {self._server.returncode}")
            with contextlib.suppress(Exception), contextlib.closing(self._client()) as client:
                if client.is_server_ready():
                    return
            time.sleep(0.2)
        raise OSError("tritonserver did not become ready")

    @property
    def _headers(self) -> dict[str, str]:
        return {f"triton-grpc-protocol-{_KEY_HEADER}": self._key}

    def caller(self, work: str, way: str) -> Caller:
        """See `worker.Contestant`."""
        import tritonclient.grpc as triton

        model, client = WORKS[work].model, self._client()
        if model not in self._loaded:
            self._ship(client, model)
            self._loaded.add(model)
        feed = WORKS[work].feed()
        output = [triton.InferRequestedOutput(FETCH)]

        def call() -> object:
            fed = triton.InferInput(FEED, list(feed.shape), "FP32")
            fed.set_data_from_numpy(feed)
            answer = client.infer(model, [fed], outputs=output, headers=self._headers)
            return answer.as_numpy(FETCH)

        return call

    def _ship(self, client: Any, model: str) -> None:
        """Send the model with the request that loads it."""
        rank = len(next(work for work in WORKS.values() if work.model == model).shape)
        any_size = [-1] * rank
        config = {
            "name": model,
            "backend": "python",
            "max_batch_size": 0,
            "input": [{"name": FEED, "data_type": "TYPE_FP32", "dims": any_size}],
            "output": [
                {
                    "name": FETCH,
                    "data_type": "TYPE_FP32",
                    "dims": [-1] if rank == 1 else [-1] * 2,
                }
            ],
        }
        files = {
            "file:1/model.py": _MODEL.read_bytes(),
            "file:1/saved_model.zip": _zipped(self._models / model),
        }
        client.load_model(model, headers=self._headers, config=json.dumps(config), files=files)


def _unpacked(source: Path, target: Path) -> Path:
    """The server's folder with the backend's program for this version of Python in its place."""
    shutil.copytree(source, target, symlinks=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = target / "python_backend_stubs" / version / "triton_python_backend_stub"
    shutil.copy(stub, target / "backends" / "python")
    return target


def _zipped(folder: Path) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return whole.getvalue()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
