"""The lineage page of Dagster's UI, opened once in headless Chromium: every group is there."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.demo_company import DemoRun
from tests.running import PROJECT

GROUPS = ("extracts", "raw", "staging", "intermediate", "features", "ml", "marts", "activation", "report", "published")


@pytest.fixture
def address(demo_run: DemoRun) -> Iterator[str]:
    """`personae ui` on the demo company."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "orchestration", "ui", str(demo_run.folder), "--port", str(port)]
    process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{url}/server_info", timeout=2)
                break
            except OSError:
                time.sleep(0.5)
        yield url
    finally:
        os.killpg(process.pid, 15)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)


def test_the_lineage_page_shows_every_group(address: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        page = browser.new_page(viewport={"width": 1800, "height": 1200})
        page.goto(f"{address}/asset-groups?expanded=", wait_until="domcontentloaded")
        for group in GROUPS:
            page.get_by_text(group, exact=True).first.wait_for(timeout=60_000)
        pictures = os.environ.get("PERSONAE_PICTURES")
        page.screenshot(path=str(Path(pictures or tmp_path) / "lineage.png"))
        page.goto(f"{address}/runs", wait_until="domcontentloaded")
        page.get_by_text("weekly", exact=True).first.wait_for(timeout=60_000)
        browser.close()
