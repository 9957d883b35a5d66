"""`web` and `space`: a version in the browser, here, in a folder, or at Hugging Face."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import HomeFolder, read_home
from pipelines.cli.output import AsJson, answer, say

if TYPE_CHECKING:
    from pipelines.home import Home
    from registry.records import ModelVersion
    from serving.bundle.web_page import WebPage

PageRef = Annotated[str, typer.Argument(metavar="REF", help="NAME@production or NAME/VERSION, which has a bundle.")]


def web(
    ref: PageRef,
    *,
    port: Annotated[int, typer.Option(help="0 for any free one.", min=0, max=65535)] = 8090,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show a page that runs a version in the browser, until Ctrl-C: camera, images and videos, and teaching it new classes."""
    from pipelines.services.web import page_server

    version, page = _page(read_home(home), ref)
    with contextlib.suppress(KeyboardInterrupt), page_server(page.files(), port) as url:
        text = f"{version.ref}: {url}\nCtrl-C stops it"
        answer({"version": str(version.ref), "bundle": page.bundle.index.digest, "url": url}, as_json=as_json, text=text)
        while True:
            time.sleep(3600)


def _page(opened: Home, ref: str, *, check: bool | None = None) -> tuple[ModelVersion, WebPage]:
    """A version and its page. `check`: whether held-out images are in it; None for those that lie beside the bundle.

    Raises NotFoundError where they are asked for and are not there.
    """
    from pipelines.bundles.store import smoke_folder
    from pipelines.queries.predict import last_bundle
    from registry.errors import NotFoundError
    from registry.refs import parse_ref
    from serving.bundle.web_page import WebPage

    parsed = parse_ref(ref)
    version, bundle = last_bundle(opened.store(), opened.ledger(), parsed)
    images = smoke_folder(bundle.folder)
    if check and not images.is_dir():
        what = "has no held-out images beside its bundle, which --check-images adds to the page"
        raise NotFoundError(
            version.ref, what, f"`modelyard export {version.ref}` where its data set is, or leave the option out"
        )
    folder = images if check is not False and images.is_dir() else None
    return version, WebPage(bundle, opened.settings.node_modules.parent, parsed.alias or "", folder)


def space(
    ref: PageRef,
    *,
    to: Annotated[Path | None, typer.Option(help="Write the page into this folder; any web server can show it.")] = None,
    publish: Annotated[str | None, typer.Option(help="OWNER/NAME of a free static Space at Hugging Face.")] = None,
    public: Annotated[
        bool, typer.Option("--public/--private", help="Whether everybody sees the Space, or its owner alone.")
    ] = False,
    check_images: Annotated[
        bool,
        typer.Option(
            "--check-images/--no-check-images",
            help="Add held-out images of the data set, so that the page compares its engine with the trained model.",
        ),
    ] = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """A page that runs a version in the browser, as a folder or as a Space at Hugging Face. Nothing is paid for it."""
    from registry.errors import InputError
    from serving.bundle.web_page import write_page
    from serving.targets.huggingface.bundle_store import publication_of
    from serving.targets.huggingface.hub import hub_of
    from serving.targets.huggingface.space import space_files

    if (to is None) == (publish is None):
        raise InputError("space", "wants one of --to and --publish", "choose one")
    opened = read_home(home)
    hub = hub_of(opened.settings) if publish else None
    version, page = _page(opened, ref, check=check_images)
    files = space_files(page)
    if to is not None:
        write_page(files, to)
        text = f"{version.ref}: see it with `python3 -m http.server -b 127.0.0.1 -d {to}`"
        answer({"version": str(version.ref), "folder": str(to)}, as_json=as_json, text=text)
    if hub is not None and publish is not None:
        readers = "everybody" if public else f"{publish.partition('/')[0]} alone (--public: everybody)"
        hub.check_may_write(publish)
        hub.check_may_hold(publish, private=not public, kind="space")
        images = ", with held-out images of the data set" if page.check else ""
        publication = publication_of(page.bundle, files, f"the Space {publish} at {hub.url}", readers, public=public)
        say(f"publishing {publication}{images}")
        revision = hub.publish(publish, files, str(version.ref), private=not public, kind="space")
        url = f"{hub.url}/spaces/{publish}"
        document = {"version": str(version.ref), "url": url, "revision": revision}
        answer(document, as_json=as_json, text=f"{version.ref}: {url} (commit {revision[:12]})")


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(web)
    app.command()(space)
