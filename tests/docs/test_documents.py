"""What the documents say is so: links lead somewhere, generated pages are current, commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted((ROOT / "docs").glob("*.md"))
MANUAL = [page for page in PAGES if page.name not in {"CHANGELOG.md", "cli.md"}]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def _anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub links to them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_linked_heading_exists(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert anchor in _anchors(page.parent / target if target else page), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    from typer.main import get_command

    from pipelines.cli.app import app

    known = get_command(app).commands  # type: ignore[attr-defined]
    blocks = re.findall(r"```(?:bash|sh)?\n(.*?)```", page.read_text(), re.DOTALL)
    for name, rest in re.findall(r"^\s*modelyard ([a-z]+)([^\n]*)", "\n".join(blocks), re.MULTILINE):
        assert name in known, name
        command, inner = known[name], rest.split()
        if hasattr(command, "commands"):
            assert inner[0] in command.commands, f"{name} {rest}"
            command = command.commands[inner[0]]
        options = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
        for used in re.findall(r"(?<!\S)(--[a-z-]+)", rest.split("#")[0]):
            assert used in options | {"--help"}, f"{name} {used}"


@pytest.mark.parametrize("page", MANUAL, ids=lambda page: page.name)
def test_every_command_that_is_shown_in_a_sentence_is_accepted(page: Path) -> None:
    """One with arguments has to parse; `modelyard promote` alone only names the command."""
    from typer.main import get_command

    from pipelines.cli.app import app

    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL).replace("\n", " ")
    for line in re.findall(r"`modelyard ([a-z][^`]*)`", text):
        command: Any = get_command(app)
        words = shlex.split(line)
        while words and hasattr(command, "commands"):
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        if words:
            command.make_context(line, words)


def test_every_program_that_the_pages_start_is_on_the_documented_path() -> None:
    fenced = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    blocks = [block for page in MANUAL for kind, block in fenced.findall(page.read_text()) if kind in {"", "bash", "sh"}]
    lines = re.sub(r"\\\n\s*", "", "\n".join(blocks)).splitlines()
    ours = {word for line in lines for word in re.findall(r"^(?:[A-Z_]+=\S+ )*(modelyard|mlflow)\b", line)}
    assert ours == {"modelyard", "mlflow"}
    for name in ours:
        done = subprocess.run([Path(sys.prefix) / "bin" / name, "--version"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.split()[0].rstrip(",")) == (0, name), f"{name}: run `make setup`"


def test_the_generated_pages_are_current() -> None:
    done = subprocess.run([sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_readme_says_the_licence_plainly() -> None:
    text = (ROOT / "README.md").read_text()
    assert "Apache License 2.0" in text
    assert "AGPL-3.0" in text
    assert "make demo" in text
    assert "make test" in text


def test_the_table_of_the_workshop_is_what_the_prices_say() -> None:
    from registry.amounts import round_usd
    from registry.money.billing import cost
    from registry.money.catalogue import published

    page, known = (ROOT / "docs/costs.md").read_text(), published()
    cards = {
        "45 s on an A100": (45, "AMPERE_80", "NVIDIA A100 80GB PCIe"),
        "90 s on an RTX 4090": (90, "ADA_24", "NVIDIA GeForce RTX 4090"),
    }
    for what, (seconds, pool, gpu) in cards.items():
        rented = [("serverless", pool), ("pod", gpu), ("pod community", gpu)]
        amounts = [round_usd(cost(seconds, known.find("runpod", *product).price), 4) for product in rented]
        (row,) = re.findall(rf"^\| {what} \|.*$", page, re.MULTILINE)
        assert row.split(" | ")[2:] == [f"${amounts[0]}", f"${amounts[1]}", f"${amounts[2]} |"]
        whole = round_usd(cost(seconds + 13, known.find("runpod", "serverless", pool).price), 4)
        assert f"${whole}" in page


def test_the_workshop_s_other_claims_are_held_against_the_prices() -> None:
    from registry.money.catalogue import published

    page, known = (ROOT / "docs/costs.md").read_text(), published()

    def row(claim: str) -> str:
        (cells,) = re.findall(rf"^\| {re.escape(claim)}[^|]*\|(.*)\|$", page, re.MULTILINE)
        return cells

    def hour(product: str, hardware: str, provider: str = "runpod") -> Decimal:
        return known.find(provider, product, hardware).price.usd_per_hour

    h100, sxm, a100 = "NVIDIA H100 PCIe", "NVIDIA H100 80GB HBM3", "NVIDIA A100 80GB PCIe"
    assert hour("serverless", "AMPERE_48") / 3600 == Decimal("0.00034")
    serverless = [entry.price for entry in known.current() if entry.price.key[:2] == ("runpod", "serverless")]
    cheapest = min(price.usd_per_hour for price in serverless if not price.hardware.endswith(" vCPU"))
    for usd in (hour("serverless", "AMPERE_48"), cheapest / 3600):
        assert f"${usd}" in row("RunPod Serverless from $0.00034")
    assert hour("pod community", h100) == Decimal("1.99")
    for usd in (hour("pod", h100), hour("pod", sxm), hour("serverless", "ADA_80_PRO")):
        assert f"${usd}" in row("an H100 for $1.99")
    for usd in (hour("serverless", "AMPERE_80"), hour("pod", a100), hour("pod community", a100)):
        assert f"${usd}" in row("an A100 for $2.17")
        assert usd != Decimal("2.17")
    endpoints = [entry.price for entry in known.current() if entry.price.key[:2] == ("huggingface", "endpoint")]
    assert min(entry.usd_per_hour for entry in endpoints if entry.hardware.startswith("nvidia")) == Decimal("0.50")
    assert f"${min(entry.usd_per_hour for entry in endpoints)}" in row("Hugging Face from $0.50")
    pods = {entry.price.hardware for entry in known.current() if entry.price.product == "pod community"}
    off = sorted(round(100 * (1 - hour("pod community", card) / hour("pod", card))) for card in pods)
    assert f"{off[0]} to {off[-1]} % below the secure one" in row("60 to 91 % off")
    assert not any("spot" in " ".join(entry.price.key) for entry in known.current())
    assert "A forecast assumes 8 s" in row("48 % of cold starts")
    assert "in no figure here" in row("PRO for $9 a month")


def test_what_the_page_says_of_forecasts_is_what_they_assume() -> None:
    from registry.money.places import HF_COLD_S, RUNPOD_COLD_S
    from serving.targets.plans import alternatives

    page = (ROOT / "docs/costs.md").read_text()
    assert f"{RUNPOD_COLD_S:g} s (RunPod), {HF_COLD_S:g} s (Hugging Face)" in page
    plans = [plan for plan in alternatives() if plan.provider == "runpod"]
    assert {plan.scale_after_requests for plan in plans} == {8}
    assert "for each eight requests at once" in re.sub(r"\s+", " ", page)
