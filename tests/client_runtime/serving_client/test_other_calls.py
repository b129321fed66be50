"""Classification, regression, metadata, status, reload, and who calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from accel_daemon.pki.authority import private_key_pem
from client_runtime.serving_client import (
    NotFoundError,
    RequestError,
    ScoredLabel,
    ServedModel,
    ServerFaultError,
    ServingClient,
    UnavailableError,
    VersionStatus,
)
from client_runtime.serving_wire import inference_pb2, model_management_pb2
from tests.client_runtime.serving_client.conftest import FakeServing, describe
from tests.conftest import patience


def test_examples_are_classified(client: ServingClient, serving: FakeServing) -> None:
    """Labels with scores, for each example."""
    response = inference_pb2.ClassificationResponse()
    response.result.classifications.add().classes.add(label="cat", score=0.5)
    response.result.classifications.add()
    serving.handlers["Classify"] = lambda *_: response

    answer = client.classify("m", [{"x": 1.0}, {"x": 2.0}], context={"who": "me"}, label="stable")

    assert answer == [[ScoredLabel("cat", 0.5)], []]
    request = serving.requests[0][1]
    sent = request.input.example_list_with_context
    assert request.model_spec.version_label == "stable"
    assert [e.features.feature["x"].float_list.value for e in sent.examples] == [[1.0], [2.0]]
    assert sent.context.features.feature["who"].bytes_list.value == [b"me"]


def test_examples_are_regressed(client: ServingClient, serving: FakeServing) -> None:
    """One value for each."""
    response = inference_pb2.RegressionResponse()
    response.result.regressions.add(value=2.5)
    serving.handlers["Regress"] = lambda *_: response

    answer = client.regress("m", [{"x": 1}], signature="regress_x")

    assert answer.dtype == "float32"
    assert answer.tolist() == [2.5]
    request = serving.requests[0][1]
    assert request.model_spec.signature_name == "regress_x"
    assert request.input.example_list.examples[0].features.feature["x"].int64_list.value == [1]


def test_metadata_are_plain_data(client: ServingClient, serving: FakeServing) -> None:
    """Sizes that may be anything are None, and so is an unknown rank."""
    serving.handlers["GetModelMetadata"] = lambda *_: describe(
        3, serving_default={"x": (14, [-1, 2]), "s": (7, []), "q": (11, [1]), "new": (999, [])}
    )
    metadata = client.metadata("m", version=3)

    assert (metadata.name, metadata.version) == ("m", 3)
    signature = metadata.signatures["serving_default"]
    assert signature.method == "tensorflow/serving/predict"
    assert {name: (spec.dtype, spec.shape) for name, spec in signature.inputs.items()} == {
        "new": ("dtype 999", ()),
        "q": ("qint8", (1,)),
        "s": ("string", ()),
        "x": ("bfloat16", (None, 2)),
    }
    assert signature.outputs["y"].dtype == "float32"
    assert signature.outputs["y"].shape is None


def test_metadata_without_signatures_are_the_servers_fault(
    client: ServingClient, serving: FakeServing
) -> None:
    """Whatever else it answers."""
    serving.handlers["GetModelMetadata"] = lambda *_: inference_pb2.GetModelMetadataResponse()
    with pytest.raises(ServerFaultError, match="no signatures"):
        client.metadata("m")
    broken = describe(serving_default={})
    broken.metadata["signature_def"].value = b"\xff"
    serving.handlers["GetModelMetadata"] = lambda *_: broken
    with pytest.raises(ServerFaultError, match="cannot be read"):
        client.metadata("m")


def test_status_names_states_and_errors(client: ServingClient, serving: FakeServing) -> None:
    """In the server's order."""
    response = model_management_pb2.GetModelStatusResponse()
    response.model_version_status.add(version=2, state=30)  # type: ignore[arg-type]
    failed = response.model_version_status.add(version=1, state=50)  # type: ignore[arg-type]
    failed.status.error_code, failed.status.error_message = 5, "gone"  # type: ignore[assignment]
    newer = response.model_version_status.add(state=99)  # type: ignore[arg-type]
    newer.status.error_code = 99  # type: ignore[assignment]
    serving.handlers["GetModelStatus"] = lambda *_: response

    assert client.status("m", version=1) == [
        VersionStatus(2, "AVAILABLE", "OK", ""),
        VersionStatus(1, "END", "NOT_FOUND", "gone"),
        VersionStatus(0, "UNKNOWN", "UNKNOWN", ""),
    ]
    assert serving.requests[0][1].model_spec.version.value == 1


def test_reload_sends_the_whole_configuration(client: ServingClient, serving: FakeServing) -> None:
    """Of every policy; what was known of signatures is forgotten."""
    serving.handlers["HandleReloadConfigRequest"] = lambda *_: (
        model_management_pb2.ReloadConfigResponse()
    )
    client.predict("m", [1])
    client.reload(
        [
            ServedModel("a", "/models/a", latest=2, labels={"stable": 3}),
            ServedModel("b", "/models/b", versions="all"),
            ServedModel("c", "/models/c", versions=[1, 5]),
        ]
    )
    a, b, c = serving.requests[-1][1].config.model_config_list.config

    assert (a.name, a.base_path, a.model_platform) == ("a", "/models/a", "tensorflow")
    assert a.model_version_policy.latest.num_versions == 2
    assert dict(a.version_labels) == {"stable": 3}
    assert b.model_version_policy.HasField("all")
    assert c.model_version_policy.specific.versions == [1, 5]
    client.predict("m", [1])
    assert serving.asked().count("GetModelMetadata") == 2


def test_a_reload_that_failed_raises(client: ServingClient, serving: FakeServing) -> None:
    """Also where the status is in the answer alone."""
    response = model_management_pb2.ReloadConfigResponse()
    response.status.error_code, response.status.error_message = 5, "none"  # type: ignore[assignment]
    serving.handlers["HandleReloadConfigRequest"] = lambda *_: response
    with pytest.raises(NotFoundError, match="none"):
        client.reload([])


def test_token_and_key_are_sent_with_every_call(serving: FakeServing) -> None:
    """With the metadata's call as with others."""
    with ServingClient(serving.address, token="secret", api_key="key") as client:
        client.predict("m", [1])
    for metadata in serving.metadata:
        assert metadata["authorization"] == "Bearer secret"
        assert metadata["x-api-key"] == "key"
    assert len(serving.metadata) == 2


def self_signed(name: str) -> tuple[bytes, bytes]:
    """Key and certificate, PEM, for both sides; it is its own authority."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return private_key_pem(key), certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def tls_address(serving: FakeServing, tmp_path: Path) -> Any:
    """The same server behind TLS, with client certificates; its files are in tmp_path."""
    key, certificate = self_signed("serving.test")
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "cert.pem").write_bytes(certificate)
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        serving.register(server)
        credentials = grpc.ssl_server_credentials([(key, certificate)], certificate, True)
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def test_tls_checks_both_sides(tls_address: str, tmp_path: Path) -> None:
    """By the authority given, and by the client's own certificate."""
    theirs = {"ca_file": tmp_path / "cert.pem", "server_name": "serving.test"}
    ours = {"cert_file": tmp_path / "cert.pem", "key_file": tmp_path / "key.pem"}
    with ServingClient(tls_address, **theirs, **ours) as client:  # type: ignore[arg-type]
        assert client.predict("m", [1])["x"].tolist() == [1]
    stranger = {**ours, **theirs, "server_name": None}
    for refused in ({**ours, "tls": True}, theirs, stranger):
        with (
            ServingClient(tls_address, **refused) as client,  # type: ignore[arg-type]
            pytest.raises(UnavailableError),
        ):
            client.predict("m", [1], timeout=patience(20))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Before anything is sent."""
    with pytest.raises(RequestError, match=r"nothing\.pem"):
        ServingClient("127.0.0.1:1", ca_file=tmp_path / "nothing.pem")
