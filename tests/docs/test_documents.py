"""What the documents say is so: links lead somewhere, generated pages are current, commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    from typer.main import get_command

    from pipelines.cli.main import app

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
    from registry.money.billing import cost, dollars
    from registry.money.catalogue import published

    page, known = (ROOT / "docs/costs.md").read_text(), published()
    cards = {
        "45 s on an A100": (45, "AMPERE_80", "NVIDIA A100 80GB PCIe"),
        "90 s on an RTX 4090": (90, "ADA_24", "NVIDIA GeForce RTX 4090"),
    }
    for what, (seconds, pool, gpu) in cards.items():
        rented = [("serverless", pool), ("pod", gpu), ("pod community", gpu)]
        amounts = [dollars(cost(seconds, known.find("runpod", *one).price), 4) for one in rented]
        (row,) = re.findall(rf"^\| {what} \|.*$", page, re.MULTILINE)
        assert row.split(" | ")[2:] == [f"${amounts[0]}", f"${amounts[1]}", f"${amounts[2]} |"]
        whole = dollars(cost(seconds + 13, known.find("runpod", "serverless", pool).price), 4)
        assert f"${whole}" in page
