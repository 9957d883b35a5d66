"""Hugging Face, over HTTP against its double: atomic commits, endpoints that sleep, faults that end in a stated outcome."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import onnxruntime
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import clouds
from chaos import RATES, Chaos

from registry.errors import BusyError, InputError, IntegrityError, NotFoundError, RefusedError, UnavailableError
from serving.inference.standalone import StandalonePredictor
from serving.targets.huggingface.hub import HubBundleStore, bundle_files
from serving.targets.huggingface.package import repository_files


@pytest.fixture
def world(tmp_path: Path) -> Iterator[clouds.HuggingFaceWorld]:
    with clouds.huggingface_world(tmp_path / "cloud") as found:
        yield found


def passes(_) -> None:
    return


def fails(_) -> None:
    raise IntegrityError("endpoint", "answers wrongly", "export again")


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


def test_a_space_needs_a_tfjs_variant_and_is_refused_before_anything_is_made(world, make_bundle, tmp_path: Path) -> None:
    from functools import partial

    from serving.targets.huggingface.space import space_files

    target = world.target(space="me/page")
    target.page = partial(space_files, node_modules=tmp_path)
    with pytest.raises(NotFoundError, match="has no TF"):
        target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert not world.double.account.repositories
    target.page = lambda _: {"index.html": b"<p>hello"}
    target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert world.hub().read("me/page", "main", "index.html", kind="space") == b"<p>hello"
    assert world.double.account.repositories[("space", "me/page")].private


def test_what_is_not_in_the_bundle_any_more_leaves_the_repository(world, make_bundle, tmp_path: Path) -> None:
    hub = world.hub()
    hub.publish("me/hand", {"a.txt": b"1", "b.txt": b"2"}, "first")
    second = hub.publish("me/hand", {"a.txt": b"1"}, "second")
    assert set(world.double.account.repositories[("model", "me/hand")].head.files) == {"a.txt", ".gitattributes"}
    assert hub.publish("me/hand", {"a.txt": b"1"}, "again") == second


def test_somebody_who_published_meanwhile_is_noticed_and_nothing_is_mixed(world, monkeypatch) -> None:
    hub = world.hub()
    hub.publish("me/hand", {"a.txt": b"1"}, "first")
    head = type(hub)._head

    def late(self, repository: str, kind: str):
        found = head(self, repository, kind)
        account = world.double.account
        account.commit(account.repositories[("model", repository)], {"theirs.txt": account.keep(b"x")})
        return found

    monkeypatch.setattr(type(hub), "_head", late)
    with pytest.raises(BusyError, match="somebody else published"):
        hub.publish("me/hand", {"a.txt": b"2"}, "second")
    assert set(world.double.account.repositories[("model", "me/hand")].head.files) == {"theirs.txt"}


def test_a_commit_whose_answer_was_lost_is_found(world) -> None:
    hub = world.hub()
    hub.publish("me/hand", {"a.txt": b"1"}, "first")
    world.double.faults.add("lost", "/commit/")
    sha = hub.publish("me/hand", {"a.txt": b"2"}, "second")
    assert len(world.double.account.repositories[("model", "me/hand")].commits) == 3
    assert hub.read("me/hand", sha, "a.txt") == b"2"


def test_an_endpoint_whose_answer_was_lost_is_found(world, make_bundle, tmp_path: Path) -> None:
    world.double.faults.add("lost", "^POST /ie-api/endpoint/me$")
    world.target().deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert list(world.double.account.endpoints) == ["my-hand"]


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
    with pytest.raises(InputError, match="may write"):
        world.target(repository="them/hand").deploy("hand", make_bundle(tmp_path / "one"), passes)
    with pytest.raises(InputError, match="has no known price"):
        world.target(instance="abacus").quote()
    with pytest.raises(RefusedError, match=r"over the \$1\.00 cap"):
        world.target(min_replicas=1, max_usd_per_month=1).deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert world.target(size="x2").quote().usd_per_busy_hour == Decimal("0.066")


def test_runpod_s_workers_fetch_from_a_repository(make_bundle, picture, tmp_path: Path) -> None:
    with clouds.huggingface_world(tmp_path / "hub") as hub, clouds.runpod_world(tmp_path / "cloud") as runpod:
        target = runpod.target()
        target.store = HubBundleStore(hub.hub(), "me/bundles")
        boot = runpod.double.cloud.boot
        runpod.double.cloud.boot = lambda env: boot(env | {"MODELYARD_BUNDLE_TOKEN": "hf_double"})
        live = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
        assert "/me/bundles/resolve/" in live.source
        assert target.ask(live)(picture("green"))["green"] > 0.9


def test_the_handler_runs_alone_from_what_is_in_the_repository(make_bundle, picture, tmp_path: Path) -> None:
    """Imported by its path in an interpreter that does not see this project, as Hugging Face's runtime does."""
    place = tmp_path / "repository"
    for name, content in repository_files(make_bundle(tmp_path / "one")).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content.read_bytes() if isinstance(content, Path) else content)
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
    command = [sys.executable, "-I", "-c", script, site, str(place)]
    done = subprocess.run(
        command, input=base64.b64encode(picture("blue")).decode(), capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    said, heavy, where = json.loads(done.stdout)
    assert [one[0]["label"] for one in said] == ["blue"] * 3
    assert said[0] == said[1] == said[2]
    assert heavy == []
    assert where.startswith(str(place))


def test_with_a_gpu_it_is_served_on_that_or_says_that_it_cannot(world, make_bundle, tmp_path: Path) -> None:
    """ONNX Runtime's build for the CPU would answer as well, on a machine that is paid for its GPU."""
    bundle, told = make_bundle(tmp_path / "one"), {"accelerator": "gpu", "instance": "nvidia-t4"}
    world.target(**told).deploy("hand", bundle, passes)
    assert world.double.account.endpoints["my-hand"].spec["model"]["env"]["MODELYARD_DEVICE"] == "cuda"
    assert b"onnxruntime-gpu[cuda,cudnn]>=" in repository_files(bundle, gpu=True)["requirements.txt"]
    assert b"onnxruntime==" in repository_files(bundle)["requirements.txt"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(UnavailableError, match="would run on CPUExecutionProvider instead"):
            StandalonePredictor(bundle.folder, device="cuda")


@pytest.mark.journey
def test_a_thousand_deployments_under_random_faults(
    world, make_bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the Hub and at the endpoints. The library's own waiting is the double's clock too."""
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=world.clock.advance))
    bundles = [make_bundle(tmp_path / str(n), version=n, gain=20.0 + n) for n in range(1, 6)]
    account, target = world.double.account, world.target(start_seconds=300, max_usd_per_month=1)

    def served(name: str) -> str | None:
        one = account.endpoints.get(f"my-{name}")
        return one.spec["model"]["revision"] if one else None

    world.double.faults.rates = RATES | {"unhealthy": 0.03, "stuck": 0.01}
    chaos = Chaos(target, bundles, served, lambda _: 0.0, 0.0)  # Hugging Face tells no bill
    chaos.run(1000, passes, fails)
    world.double.faults.calm()
    chaos.check(world.leaks(), most_torn=30)
    assert sum(chaos.ends.values()) == 1000
    assert chaos.ends["deployed"] > 500
    chaos.mend([one.removeprefix("my-").removesuffix("-next") for one in account.endpoints], passes)
    assert world.leaks() == []
    assert {live.name for live in target.list()} <= set(chaos.meant)
    kept_on = world.target(min_replicas=1, max_usd_per_month=1)
    with pytest.raises(RefusedError, match="for replicas that never stop is over the"):
        kept_on.deploy("model01", bundles[0], passes)
    minutes = sum(
        ((span.ended or world.clock.now()) - span.began) / 60 + 1
        for one in [*account.endpoints.values(), *account.deleted]
        for span in one.spans
    )
    assert account.spent() <= float(target.quote().usd_per_busy_hour) / 60 * minutes


# What a review found: settings, undo, what is not ours.


def test_other_settings_of_the_same_bundle_are_brought_there(world, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.target(min_replicas=1).deploy("hand", bundle, passes)
    world.target(min_replicas=0, max_replicas=3).deploy("hand", bundle, passes)
    scaling = world.double.account.endpoints["my-hand"].spec["compute"]["scaling"]
    assert (scaling["minReplica"], scaling["maxReplica"], scaling["scaleToZeroTimeout"]) == (0, 3, 15)
    world.target(min_replicas=1).deploy("hand", bundle, passes)
    assert world.double.account.endpoints["my-hand"].spec["compute"]["scaling"]["scaleToZeroTimeout"] is None


def test_what_fails_is_put_back_with_its_own_settings(world, make_bundle, tmp_path: Path) -> None:
    world.target().deploy("hand", make_bundle(tmp_path / "one"), passes)
    before = json.dumps(world.double.account.endpoints["my-hand"].spec, sort_keys=True)
    told, asked = {"repository": "me/other", "instance": "nvidia-t4", "accelerator": "gpu", "max_replicas": 5}, []

    def fails_at_last(ask) -> None:
        asked.append(ask)
        if len(asked) == 2:
            fails(ask)

    with pytest.raises(IntegrityError):
        world.target(**told).deploy("hand", make_bundle(tmp_path / "two", gain=30.0), fails_at_last)
    assert json.dumps(world.double.account.endpoints["my-hand"].spec, sort_keys=True) == before


def test_our_own_image_comes_and_goes_and_is_asked_at_its_own_address(world, make_bundle, picture, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    live = world.target(image="docker.io/me/serve:1").deploy("hand", bundle, passes)
    model = world.double.account.endpoints["my-hand"].spec["model"]
    assert model["image"] == {"custom": {"url": "docker.io/me/serve:1", "port": 8000, "healthRoute": "/health"}}
    assert world.target().ask(live)(picture("red"))["red"] > 0.9  # one that only looks does not know of the image
    world.target().deploy("hand", bundle, passes)
    assert world.double.account.endpoints["my-hand"].spec["model"]["image"] == {"huggingface": {}}


def test_what_somebody_else_made_is_left_alone(world, make_bundle, tmp_path: Path) -> None:
    theirs = {"name": "my-hand", "type": "public", "provider": {"vendor": "aws", "region": "us-east-1"}}
    world.hub().publish("me/theirs", {"a.txt": b"1"}, "first")
    theirs |= {"model": {"repository": "me/theirs", "framework": "custom", "image": {"huggingface": {}}}}
    theirs |= {
        "compute": {
            "accelerator": "cpu",
            "instanceSize": "x1",
            "instanceType": "intel-spr",
            "scaling": {"minReplica": 0, "maxReplica": 1},
        }
    }
    world.double.account.deploy(theirs, None)
    for act in (
        lambda: world.target().deploy("hand", make_bundle(tmp_path / "one"), passes),
        lambda: world.target().delete("hand"),
    ):
        with pytest.raises(RefusedError, match="was not made by Modelyard"):
            act()
    assert world.double.account.endpoints["my-hand"].spec == theirs
    with pytest.raises(InputError, match="ends in '-next'"):
        world.target().deploy("hand-next", make_bundle(tmp_path / "two"), passes)


def test_it_does_not_move_to_another_region_and_is_not_woken_from_a_pause(world, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.target().deploy("hand", bundle, passes)
    with pytest.raises(InputError, match="is at us-east-1 and cannot move to eu-west-1"):
        world.target(region="eu-west-1").deploy("hand", make_bundle(tmp_path / "two", gain=30.0), passes)
    assert list(world.double.account.endpoints) == ["my-hand"]


def test_prices_are_the_vendor_s_and_an_unknown_one_is_refused(world) -> None:
    assert world.target(vendor="gcp", instance="nvidia-h100", accelerator="gpu").quote().usd_per_busy_hour == 10
    with pytest.raises(InputError, match="at gcp: has no known price"):
        world.target(vendor="gcp", instance="nvidia-l4", accelerator="gpu").quote()


def test_boxes_of_one_label_count_with_the_best_one() -> None:
    from serving.targets.huggingface.requests import probabilities_of

    assert probabilities_of([{"label": "a", "score": 0.9}, {"label": "a", "score": 0.2}], "x") == {"a": 0.9}
    assert probabilities_of([], "x") == {}


def test_who_is_told_to_wait_for_a_day_says_so_and_does_not(world, monkeypatch) -> None:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    def refuse() -> None:
        answer = httpx2.Response(429, headers={"Retry-After": "86400"}, request=httpx2.Request("GET", "http://x"))
        raise HfHubHTTPError("slow down", response=answer)

    with pytest.raises(UnavailableError, match="asks to wait 86400 s"):
        world.hub().call(refuse)


def test_the_library_does_not_wait_for_ever(world) -> None:
    from huggingface_hub import get_session

    assert world.hub().api
    assert get_session().timeout.read == 120
