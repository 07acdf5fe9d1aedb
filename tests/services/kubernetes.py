"""A real Kubernetes control plane: etcd, API server, controllers, scheduler; kwok stands in for the kubelets."""

import contextlib
import ctypes
import datetime
import ipaddress
import json
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.services import kubernetes_binary

REMEDY = "install Go 1.26 (go.dev/dl), or `python -m tests.services.kubernetes_binary FILE.xz` with a built program"
START_SECONDS = 90.0
ADMIN = "admin-token"
PART_OF_POLICY = {"level": "Metadata", "omitStages": ["RequestReceived"]}
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def free_ports(count: int) -> list[int]:
    """Ports that nothing uses."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    kind = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())


def make_certificates(folder: Path) -> None:
    """A server certificate for 127.0.0.1, and the key that signs service account tokens."""
    server, accounts = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(server.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(server.public_key()), critical=False)
        .sign(server, hashes.SHA256())
    )
    public = accounts.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "server.key").write_bytes(_pem(server))
    (folder / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "accounts.key").write_bytes(_pem(accounts))
    (folder / "accounts.pub").write_bytes(public)


def kubeconfig(folder: Path, port: int, token: str) -> str:
    """A kubeconfig, which is YAML and so may be JSON."""
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(folder / "server.crt")}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "real", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": "user"}}],
            "current-context": "real",
        }
    )


class ControlPlane:
    """The processes, started in order and stopped by their ids."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = kubernetes_binary.program()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.etcd, self.peer, self.port, self.kubelet = free_ports(4)

    def run(self, part: str, **flags: object) -> None:
        """Start a part; its output goes into the folder."""
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
        with (self.folder / f"{part}.log").open("wb") as output:
            process = subprocess.Popen(
                ["nice", str(self.program), part, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=lambda: ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL),
            )
        self.processes.append(process)

    def start(self) -> None:
        """Everything, until a namespace can be used."""
        folder = self.folder
        make_certificates(folder)
        (folder / "tokens.csv").write_text(f"{ADMIN},admin,admin,system:masters\n")
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [PART_OF_POLICY]}
        (folder / "audit-policy.yaml").write_text(json.dumps(policy))
        (folder / "admin.kubeconfig").write_text(kubeconfig(folder, self.port, ADMIN))
        stages = (kubernetes_binary.SOURCES / "stages.yaml").read_text().replace("@FOLDER@", str(folder))
        (folder / "stages.yaml").write_text(stages)
        for name in ("pod.log", "pod-previous.log"):
            (folder / name).touch()
        self._start_api()
        self.wait_for("/readyz", b"ok")
        self._start_others()
        self.wait_for("/api/v1/namespaces/default/serviceaccounts/default", b'"uid"')

    def _start_api(self) -> None:
        folder, etcd, peer = self.folder, f"http://127.0.0.1:{self.etcd}", f"http://127.0.0.1:{self.peer}"
        urls = {"listen_client_urls": etcd, "advertise_client_urls": etcd, "listen_peer_urls": peer}
        cluster = {"initial_advertise_peer_urls": peer, "initial_cluster": f"default={peer}", "log_level": "warn"}
        self.run("etcd", data_dir=folder / "etcd", unsafe_no_fsync="true", **urls, **cluster)
        server = f"https://127.0.0.1:{self.port}"
        self.run(
            "kube-apiserver",
            etcd_servers=etcd,
            bind_address="127.0.0.1",
            advertise_address="127.0.0.1",
            endpoint_reconciler_type="none",
            secure_port=self.port,
            tls_cert_file=folder / "server.crt",
            tls_private_key_file=folder / "server.key",
            client_ca_file=folder / "server.crt",
            kubelet_client_certificate=folder / "server.crt",
            kubelet_client_key=folder / "server.key",
            kubelet_preferred_address_types="InternalIP",
            service_cluster_ip_range="10.0.0.0/24",
            service_account_issuer=server,
            service_account_key_file=folder / "accounts.pub",
            service_account_signing_key_file=folder / "accounts.key",
            authorization_mode="RBAC",
            token_auth_file=folder / "tokens.csv",
            audit_policy_file=folder / "audit-policy.yaml",
            audit_log_path=folder / "audit.log",
            audit_log_mode="blocking",
            profiling="false",
        )

    def _start_others(self) -> None:
        folder, config = self.folder, self.folder / "admin.kubeconfig"
        own = {
            "kubeconfig": config,
            "authentication_kubeconfig": config,
            "authorization_kubeconfig": config,
            "leader_elect": "false",
            "secure_port": 0,
        }
        keys = {"service_account_private_key_file": folder / "accounts.key", "root_ca_file": folder / "server.crt"}
        # kwok sends no heartbeats: after the usual 50 s its nodes, and for good their pods, would be made unready.
        grace = {"node_monitor_grace_period": "24h"}
        self.run("kube-controller-manager", use_service_account_credentials="false", **grace, **keys, **own)
        self.run("kube-scheduler", **own)
        self.run(
            "kwok",
            kubeconfig=config,
            manage_all_nodes="true",
            node_ip="127.0.0.1",
            node_port=self.kubelet,
            server_address=f"127.0.0.1:{self.kubelet}",
            cidr="10.244.0.1/16",
            tls_cert_file=folder / "server.crt",
            tls_private_key_file=folder / "server.key",
            config=folder / "stages.yaml",
        )

    def wait_for(self, path: str, text: bytes) -> None:
        """Until the API answers so. Raises RuntimeError with the end of a log if a part died."""
        trust = ssl.create_default_context(cafile=str(self.folder / "server.crt"))
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {ADMIN}"}
        )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(urllib.error.URLError, OSError):
                if text in urllib.request.urlopen(request, timeout=2, context=trust).read():  # noqa: S310 - loopback
                    return
            for process in self.processes:
                if process.poll() is not None:
                    part = str(process.args[2])  # type: ignore[index]
                    log = (self.folder / f"{part}.log").read_text(errors="replace")
                    raise RuntimeError(f"{part} ended: {log[-500:]}")
            time.sleep(0.05)
        raise RuntimeError(f"{path} was not there within {START_SECONDS:.0f} s")

    def stop(self) -> None:
        """At once, the last one first: nothing of it is kept."""
        for process in reversed(self.processes):
            process.kill()
            process.wait()


def start() -> Generator[str, None, None]:
    """Yields the folder that holds admin.kubeconfig, audit.log and the logs of pods."""
    folder = Path(tempfile.mkdtemp(prefix="kubernetes-"))
    plane = ControlPlane(folder)
    try:
        plane.start()
        yield str(folder)
    finally:
        plane.stop()
        shutil.rmtree(folder, ignore_errors=True)
