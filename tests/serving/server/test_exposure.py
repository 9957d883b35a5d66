"""A server that other machines reach asks for a key, or was told that something in front of it does."""

from __future__ import annotations

import ast
import asyncio
import errno
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pipelines.cli.app import run
from pipelines.services.dashboard import dashboard_running
from registry.errors import InputError
from registry.settings import Settings
from serving import container
from serving.server import options as server_options
from serving.server.exposure import address_of, api_key, is_loopback, keyed
from serving.server.middleware import Guard, Limits
from serving.server.options import arguments, listen
from serving.start import start
from serving.targets.huggingface.release import Release as HuggingFaceRelease
from serving.targets.runpod.config import RunPodDeploy
from serving.targets.runpod.release import Release

ROOT = Path(__file__).resolve().parents[3]
ELSEWHERE = ["0.0.0.0", "::", "0", "", "0x0", "00.0.0.0", "lan.example", "::ffff:0.0.0.0"]  # noqa: S104 they are refused
HERE = ["127.0.0.1", "127.1", "127.8.9.1", "localhost", "0x7f000001", "2130706433"]


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name of this machine that other machines know."""
    known = socket.getaddrinfo

    def getaddrinfo(host: str | None, *rest: object, **fields: object) -> list:
        return known("0.0.0.0" if host == "lan.example" else host, *rest, **fields)  # noqa: S104

    class Socket(socket.socket):
        def bind(self, address) -> None:
            super().bind(("0.0.0.0", *address[1:]) if address[0] == "lan.example" else address)  # noqa: S104

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(server_options.socket, "socket", Socket)


@pytest.mark.parametrize("host", ELSEWHERE)
def test_whatever_other_machines_reach_is_refused_without_a_key(host: str) -> None:
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with pytest.raises(InputError, match=r"would answer whoever reaches it; set MODELYARD_API_KEY, leave --host out, or say"):
        listen(host, 0, keyed(""))
    for exposure in (keyed("secret"), keyed("", no_key=True)):
        listen(host, 0, exposure).close()


@pytest.mark.parametrize("host", HERE)
def test_loopback_by_any_spelling_needs_no_key(host: str) -> None:
    listen(host, 0, keyed("")).close()


@pytest.mark.parametrize("host", [*ELSEWHERE, *HERE])
def test_a_host_is_judged_before_it_is_bound_as_it_is_when_bound(host: str) -> None:
    """For a server that another program binds: the dashboard's."""
    assert is_loopback(address_of(host)) == (host in HERE)


def test_serve_the_container_the_proxy_and_the_dashboard_refuse(
    make_bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = str(make_bundle(tmp_path / "one").folder)
    monkeypatch.setenv("MODELYARD_BUNDLE_DIR", folder)
    monkeypatch.setattr("sys.argv", ["serving.container"])
    monkeypatch.setattr("os.execve", lambda _, words, _environment: sys.exit(start(words[words.index("serving.start") + 1 :])))
    for key in (None, "", "  ", "\n"):
        if key is not None:
            monkeypatch.setenv("MODELYARD_API_KEY", key)
        for begin in (
            lambda: run(["serve", folder, "--host", "0.0.0.0", "--home", str(tmp_path)]),  # noqa: S104
            lambda: run(["canary", "front", "hand@production", "--host", "0.0.0.0", "--home", str(tmp_path)]),  # noqa: S104
            lambda: sys.exit(container.main()),
        ):
            with pytest.raises(SystemExit) as ended:
                begin()
            lines = capfd.readouterr().err.splitlines()
            assert (ended.value.code, len(lines)) == (2, 1), lines
            assert "MODELYARD_API_KEY" in lines[0]
    for password in ("", " "):
        settings = Settings(home=tmp_path, dashboard_password=password)
        with pytest.raises(InputError, match="MODELYARD_DASHBOARD_PASSWORD"), dashboard_running(settings, "0.0.0.0", 0, print):  # noqa: S104
            pass


@pytest.mark.parametrize(
    ("environment", "asked"), [({}, False), ({"MODELYARD_NO_KEY": "1"}, True), ({"MODELYARD_NO_KEY": "0"}, False)]
)
def test_a_container_answers_without_a_key_only_where_it_is_told(
    make_bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], asked: bool
) -> None:
    seen = list[list[str]]()
    monkeypatch.setenv("MODELYARD_BUNDLE_DIR", str(make_bundle(tmp_path / "one").folder))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.execve", lambda _, words, _environment: seen.append(words))
    monkeypatch.setattr("sys.argv", ["serving.container"])
    container.main()
    assert arguments(seen[0][seen[0].index("serving.start") + 1 :]).no_key is asked


def test_our_deployments_at_a_cloud_say_that_its_gateway_asks_for_a_key() -> None:
    runpod = Release("hand", 1, "b" * 64, "https://bundles.example").env(
        "hand", RunPodDeploy(kind="runpod", image="i", bundles="hf:o/n", pools=("AMPERE_16",)), None
    )
    assert runpod["MODELYARD_NO_KEY"] == HuggingFaceRelease("hand", 1, "b", "r").env("hand", None)["MODELYARD_NO_KEY"] == "1"


def test_a_key_is_taken_without_the_blanks_that_a_file_leaves_around_it() -> None:
    assert (api_key("secret\n"), api_key(""), api_key(None)) == ("secret", "", "")
    with pytest.raises(InputError, match="MODELYARD_API_KEY: is blank"):
        api_key(" \n")


def test_every_server_of_ours_binds_loopback_or_is_judged() -> None:
    """Whoever adds one that listens elsewhere sends it through `listen`."""
    for path in [path for room in ("registry", "serving", "pipelines", "dashboards") for path in (ROOT / room).rglob("*.py")]:
        tree = ast.parse(path.read_text())
        constants = {
            node.targets[0].id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "bind"):
                continue
            if path.name == "options.py" or not isinstance(node.args[0], ast.Tuple):
                continue
            host = node.args[0].elts[0]
            named = host.value if isinstance(host, ast.Constant) else constants.get(ast.unparse(host))
            assert named == "127.0.0.1", f"{path}:{node.lineno}"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EACCES, "from 1024 on"), (errno.EADDRINUSE, "another --port"), (errno.EADDRNOTAVAIL, "another --host")],
)
def test_an_address_that_cannot_be_taken_says_why(monkeypatch: pytest.MonkeyPatch, number: int, remedy: str) -> None:
    class Refusing(socket.socket):
        def bind(self, _) -> None:
            raise OSError(number, "refused by the system")

    monkeypatch.setattr(server_options.socket, "socket", Refusing)
    with pytest.raises(InputError, match=rf"cannot be listened at \(refused by the system\).*{remedy}"):
        listen("127.0.0.1", 80, keyed(""))
    monkeypatch.undo()
    for host, port in (("127.0.0.1", 99999), ("x" * 300, 0), ("no.such.host.invalid", 0)):
        with pytest.raises(InputError):
            listen(host, port, keyed("k"))


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "denied"), OSError(errno.ENOSPC, "full"), RuntimeError("odd")])
def test_a_fault_of_this_machine_is_a_500_and_never_a_wrong_key(error: Exception) -> None:
    async def failing(_scope, _receive, _send) -> None:
        raise error

    async def ask(headers: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(Guard(failing, Limits(api_key="secret")))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.post("/predict", headers=headers)

    assert asyncio.run(ask({"x-api-key": "secret"})).status_code == 500
    wrong = asyncio.run(ask({"x-api-key": "guess"}))
    assert (wrong.status_code, wrong.headers["www-authenticate"]) == (401, "Bearer")
    assert wrong.json()["error"] == "API key: is missing or wrong; send Authorization: Bearer KEY"


def test_a_key_folder_that_cannot_be_read_is_one_line(make_bundle, tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "one").folder
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "a.pub").mkdir()  # reading it fails, whoever asks
    (folder / "bundle.sig").write_text("{}")
    command = [sys.executable, "-m", "serving.start", "--bundle", str(folder), "--keys", str(tmp_path / "keys")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
