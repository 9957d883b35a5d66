"""Hugging Face, over HTTP against its double: atomic commits, endpoints that sleep, faults that end in a stated outcome."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import clouds
from clouds import passes

from registry.errors import BusyError, InputError, NotFoundError, RefusedError, UnavailableError
from serving.inference.standalone import StandalonePredictor
from serving.targets.huggingface.bundle_store import HubBundleStore, bundle_files
from serving.targets.huggingface.package import repository_files


@pytest.fixture
def world(tmp_path: Path) -> Iterator[clouds.HuggingFaceWorld]:
    with clouds.huggingface_world(tmp_path / "cloud") as made:
        yield made


def test_a_repository_is_one_commit_and_its_card_has_metadata(world, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.target().deploy("hand", bundle, passes)
    repository = world.double.account.repositories[("model", "me/hand")]
    assert (len(repository.commits), repository.private) == (2, True)
    card = world.hub().read("me/hand", "main", "README.md").decode()
    assert card.startswith("---\n")
    assert "pipeline_tag: image-classification" in card
    assert set(repository.head.files) == {*bundle_files(bundle), *repository_files(bundle), ".gitattributes"}


def test_the_card_carries_the_held_out_figures(make_bundle, tmp_path: Path) -> None:
    from serving.targets.huggingface.package import model_card

    bundle = make_bundle(tmp_path / "one")
    text = "# hand/1\n\n- licence: AGPL-3.0 (trained with Ultralytics)\n\nTop-1 0.969 (95 % interval over clips 0.906 to 1.000) on 96 images of 24 clips.\n"
    (bundle.folder / "card.md").write_text(text)
    card = model_card(bundle)
    assert "value: 0.969" in card
    assert "license: agpl-3.0" in card
    assert card.endswith(text)


def test_a_space_needs_the_built_page_and_is_refused_before_anything_is_made(world, make_bundle, tmp_path: Path) -> None:
    from serving.bundle.web_page import WebPage
    from serving.targets.huggingface.space import space_files

    target = world.target(space="me/page")
    target.page = lambda bundle: space_files(WebPage(bundle, tmp_path))
    with pytest.raises(NotFoundError, match="make setup"):
        target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert not world.double.account.repositories
    target.page = lambda _: {"index.html": b"<p>hello"}
    target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert world.hub().read("me/page", "main", "index.html", kind="space") == b"<p>hello"
    assert world.double.account.repositories[("space", "me/page")].private


def test_what_is_not_in_the_bundle_any_more_leaves_the_repository(world, make_bundle, tmp_path: Path) -> None:
    hub = world.hub()
    hub.publish("me/hand", indexed({"a.txt": b"1", "b.txt": b"2"}), "first")
    second = hub.publish("me/hand", indexed({"a.txt": b"1"}), "second")
    assert set(world.double.account.repositories[("model", "me/hand")].head.files) == {"a.txt", "bundle.json", ".gitattributes"}
    assert hub.publish("me/hand", indexed({"a.txt": b"1"}), "again") == second


def indexed(files: dict[str, bytes]) -> dict[str, bytes]:
    """Files with an index, as a bundle's are: by that they are known as ours."""
    return files | {"bundle.json": json.dumps({"files": dict.fromkeys(files, "")}).encode()}


def test_somebody_who_published_meanwhile_is_noticed_and_nothing_is_mixed(world, monkeypatch) -> None:
    hub = world.hub()
    hub.publish("me/hand", indexed({"a.txt": b"1"}), "first")
    look = type(hub)._look

    def late(self, repository: str, kind: Any):
        current = look(self, repository, kind)
        account = world.double.account
        account.commit(account.repositories[("model", repository)], {"theirs.txt": account.keep(b"x")})
        return current

    monkeypatch.setattr(type(hub), "_look", late)
    with pytest.raises(BusyError, match="somebody else published"):
        hub.publish("me/hand", indexed({"a.txt": b"2"}), "second")
    assert set(world.double.account.repositories[("model", "me/hand")].head.files) == {"theirs.txt"}


def test_a_commit_whose_answer_was_lost_is_found(world) -> None:
    hub = world.hub()
    hub.publish("me/hand", indexed({"a.txt": b"1"}), "first")
    world.double.faults.add("lost", "/commit/")
    sha = hub.publish("me/hand", indexed({"a.txt": b"2"}), "second")
    assert len(world.double.account.repositories[("model", "me/hand")].commits) == 3
    assert hub.read("me/hand", sha, "a.txt") == b"2"


def test_an_endpoint_whose_answer_was_lost_is_found(world, make_bundle, tmp_path: Path) -> None:
    world.double.faults.add("lost", "^POST /ie-api/endpoint/me$")
    world.target().deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert list(world.double.account.endpoints) == ["my-hand"]


@pytest.mark.parametrize("suffix", ["", "-next"])
def test_an_endpoint_that_somebody_makes_meanwhile_is_not_taken_over_and_not_deleted(
    world, make_bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Hugging Face answers 409: the name was free when we looked."""
    account, target = world.double.account, world.target()
    if suffix:
        target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    create = type(target.endpoints).create
    monkeypatch.setattr(
        type(target.endpoints), "create", lambda self, name, **fields: _occupied(account, create, self, name, fields)
    )
    with pytest.raises(RefusedError, match=f"my-hand{suffix}: is at Hugging Face and was not made by Modelyard"):
        target.deploy("hand", make_bundle(tmp_path / "two", version=2, gain=30.0), passes)
    assert account.endpoints[f"my-hand{suffix}"].spec["model"]["env"] == {"THEIRS": "1"}


def _occupied(account: Any, create: Any, endpoints: Any, name: str, fields: dict[str, Any]) -> Any:
    """Somebody else's request is a moment earlier."""
    create(endpoints, name, **fields)
    account.endpoints[name].spec["model"]["env"] = {"THEIRS": "1"}
    return create(endpoints, name, **fields)


def test_it_sleeps_costs_nothing_and_wakes(world, make_bundle, picture, tmp_path: Path) -> None:
    target = world.target()
    live = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    world.clock.advance(3600)
    assert target.status("hand").state == "asleep"
    spent = world.double.account.spent()
    world.clock.advance(86_400)
    assert world.double.account.spent() == spent > 0
    assert target.answers(live)
    assert target.ask(live)(picture("red"))["red"] > 0.9


@pytest.mark.parametrize("name", ["Hand Sign", "hand_production", "x" * 60, "hand-production", "手"])
def test_any_name_becomes_one_that_is_taken(world, make_bundle, tmp_path: Path, name: str) -> None:
    target = world.target()
    live = target.deploy(name, make_bundle(tmp_path / "one"), passes)
    assert (live.name, target.find(name)) == (name, live)


def test_a_container_that_never_comes_up_says_its_last_words(world, make_bundle, tmp_path: Path) -> None:
    world.double.faults.add("unhealthy", "^POST /ie-api")
    with pytest.raises(UnavailableError, match="exit code 1"):
        world.target().deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert world.double.account.endpoints == {}


def test_an_update_that_fails_is_taken_back(world, make_bundle, picture, tmp_path: Path) -> None:
    target = world.target()
    old = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    world.double.faults.add("unhealthy", "^PUT /ie-api")
    with pytest.raises(UnavailableError, match="updateFailed"):
        target.deploy("hand", make_bundle(tmp_path / "two", version=2, gain=30.0), passes)
    assert target.find("hand") == old
    assert target.ask(old)(picture("red"))["red"] > 0.9
    assert world.leaks() == []


def test_a_wrong_token_or_owner_or_price_is_one_line(world, make_bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="HF_TOKEN") as error:
        world.hub("hf_secret").publish("me/hand", {"a": b"1"}, "x")
    assert "hf_secret" not in str(error.value)
    with pytest.raises(InputError, match="no namespace 'them'"):
        world.target(repository="them/hand").deploy("hand", make_bundle(tmp_path / "one"), passes)
    with pytest.raises(InputError, match="has no known price"):
        world.target(instance="abacus").quote()
    with pytest.raises(RefusedError, match=r"over the \$1\.00 cap"):
        world.target(min_replicas=1, max_usd_per_month=1).deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert world.target(size="x2").quote().usd_per_busy_hour == Decimal("0.068")


def test_runpod_s_workers_fetch_from_a_repository(make_bundle, picture, tmp_path: Path) -> None:
    with clouds.huggingface_world(tmp_path / "hub") as hub, clouds.runpod_world(tmp_path / "cloud") as runpod:
        target = runpod.target()
        target.store = HubBundleStore(hub.hub(), "me/bundles", secret="hub")
        boot = runpod.double.cloud.boot
        runpod.double.cloud.boot = lambda env: boot(env | {"MODELYARD_BUNDLE_TOKEN": "hf_double"})
        live = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
        assert "/me/bundles/resolve/" in live.source
        assert target.ask(live)(picture("green"))["green"] > 0.9


def test_the_handler_runs_alone_from_what_is_in_the_repository(make_bundle, picture, tmp_path: Path) -> None:
    """Imported by its path in an interpreter that does not see this project, as Hugging Face's runtime does."""
    folder = tmp_path / "repository"
    for name, content in repository_files(make_bundle(tmp_path / "one")).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.read_bytes() if isinstance(content, Path) else content)
    site = next(path for path in sys.path if path.endswith("site-packages") and (Path(path) / "onnxruntime").is_dir())
    script = """
import base64, importlib.util, io, json, sys
sys.path = [p for p in sys.path if "site-packages" not in p] + [sys.argv[1]]
from PIL import Image
spec = importlib.util.spec_from_file_location("handler", sys.argv[2] + "/handler.py")
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
handler = module.EndpointHandler(sys.argv[2])
data = base64.b64decode(sys.stdin.read())
said = [handler({"inputs": one}) for one in (data, base64.b64encode(data).decode(), Image.open(io.BytesIO(data)))]
heavy = sorted({"pydantic", "mlflow", "torch", "msgspec", "pipelines"} & sys.modules.keys())
print(json.dumps([said, heavy, sys.modules["serving"].__file__]))
"""
    command = [sys.executable, "-I", "-c", script, site, str(folder)]
    done = subprocess.run(
        command, input=base64.b64encode(picture("blue")).decode(), capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    answers, heavy, where = json.loads(done.stdout)
    assert [answer[0]["label"] for answer in answers] == ["blue"] * 3
    assert answers[0] == answers[1] == answers[2]
    assert heavy == []
    assert where.startswith(str(folder))


def test_with_a_gpu_it_is_served_on_that_or_says_that_it_cannot(world, make_bundle, tmp_path: Path) -> None:
    """ONNX Runtime's build for the CPU would answer as well, on a machine that is paid for its GPU."""
    bundle, hardware = make_bundle(tmp_path / "one"), {"accelerator": "gpu", "instance": "nvidia-t4"}
    world.target(**hardware).deploy("hand", bundle, passes)
    assert world.double.account.endpoints["my-hand"].spec["model"]["env"]["MODELYARD_DEVICE"] == "cuda"
    assert b"onnxruntime-gpu[cuda,cudnn]>=" in repository_files(bundle, gpu=True)["requirements.txt"]
    assert b"onnxruntime==" in repository_files(bundle)["requirements.txt"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(UnavailableError, match="would run on CPUExecutionProvider instead"):
            StandalonePredictor(bundle.folder, device="cuda")
