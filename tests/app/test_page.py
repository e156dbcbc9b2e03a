"""The page in a real browser. Needs gradio, playwright and a Chromium (CHROMIUM, or in the path); skips without."""

import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed")]
PATIENCE = 300_000  # milliseconds: the machine may be busy
SCREENSHOTS = os.environ.get("VMAE_ZOO_SCREENSHOTS")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of the page, and the folder of its temporary files."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vmae_zoo", "app", "--port", str(port), "--max-megabytes", "20"]
    environment = {**os.environ, "TMPDIR": str(folder), "no_proxy": "127.0.0.1,localhost"}
    process = subprocess.Popen(command, env=environment, cwd=folder)
    for _ in range(600):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/")
            if connection.getresponse().status == 200:
                break
        except OSError:
            assert process.poll() is None, "the server ended"
        time.sleep(0.5)
    yield port, folder
    process.terminate()
    process.wait(60)
    assert not list(folder.glob("vmae_zoo_app_*")), "files are left"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture
def page(server, browser):
    one = browser.new_page(viewport={"width": 1280, "height": 1400})
    one.set_default_timeout(PATIENCE)
    asked = []
    one.on("request", lambda request: asked.append(request.url))
    one.goto(f"http://127.0.0.1:{server[0]}/")
    one.wait_for_selector("#features img")
    yield one
    elsewhere = [url for url in asked if not re.match(r"(data|blob):|https?://127\.0\.0\.1[:/]", url)]
    assert not elsewhere, "the page needs the network"
    one.close()


def picture(page, name):
    return page.get_attribute(f"#{name} img", "src")


def wait_for_change(page, name, before):
    page.wait_for_function(
        f"before => {{ const i = document.querySelector('#{name} img'); return i && i.src !== before }}", arg=before
    )
    return picture(page, name)


def choose(page, label, option):
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def save(page, name):
    if SCREENSHOTS:
        page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"), full_page=True)


def test_pictures_follow_method_ratio_and_upload(page, clips):
    before = picture(page, "mask")
    choose(page, "or an embedded video", "moving to the right")
    before = wait_for_change(page, "mask", before)
    choose(page, "Method", "MGMAE")
    before = wait_for_change(page, "mask", before)
    page.wait_for_selector("#features img")
    save(page, "app")
    slider = page.locator("#ratio input[type=range]")
    assert "MGMAE: 32 of 64 tokens visible" in page.inner_text(
        "#mask"
    )  # the ratio that the checkpoint was trained with
    slider.press("ArrowRight")  # by keyboard alone
    wait_for_change(page, "mask", before)
    assert "28 of 64 tokens visible" in page.inner_text("#mask")
    before = picture(page, "mask")
    page.set_input_files("#upload input[type=file]", str(next(clips.glob("torchvision/hmdb51*.avi"))))
    before = wait_for_change(page, "mask", before)
    page.wait_for_selector("#features img")
    save(page, "app_upload")
    choose(page, "Method", "VJEPA")
    wait_for_change(page, "mask", before)
    page.wait_for_selector("#reconstruction [role=alert]")
    assert "does not reconstruct" in page.inner_text("#reconstruction")
    page.locator("#ratio").wait_for(state="hidden")  # another request than the pictures' one


def test_a_rotated_video_is_upright(page, tmp_path, encode):
    before = picture(page, "mask")
    page.set_input_files(
        "#upload input[type=file]", str(encode(tmp_path / "phone.mp4", frames=40, size=(96, 160), rotation=90))
    )
    wait_for_change(page, "mask", before)


def test_what_is_no_video_gets_a_sentence(page, tmp_path, encode):
    text = tmp_path / "text.mp4"
    text.write_text("not a video at all")
    page.set_input_files("#upload input[type=file]", str(text))
    page.wait_for_selector("#mask [role=alert]")
    said = page.inner_text("#mask")
    assert said.startswith("text.mp4")
    assert "vmae_zoo_app_" not in said
    page.reload()
    page.wait_for_selector("#features img")
    hours = encode(tmp_path / "long.mp4", frames=109, size=(32, 32), times=[100_000 * n for n in range(109)])  # 3 hours
    page.set_input_files("#upload input[type=file]", str(hours))
    page.wait_for_selector("#mask [role=alert]")
    assert "180 minutes" in page.inner_text("#mask")


def test_a_narrow_screen_needs_no_sideways_scrolling(page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 365
    save(page, "app_narrow")


def test_ten_visitors_at_once(server, browser):
    pages = [browser.new_page() for _ in range(10)]
    for one in pages:
        one.set_default_timeout(PATIENCE)
        one.goto(f"http://127.0.0.1:{server[0]}/", wait_until="commit")
    for one in pages:
        one.wait_for_selector("#features img")
        one.close()


def test_no_file_of_the_server_is_reachable(server):
    port, folder = server
    secret = folder / "secret.txt"
    secret.write_text("top secret")

    def ask(path):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()

    paths = [
        f"{prefix}{file}"
        for prefix in ("/gradio_api/file=", "/file=", "/gradio_api/file/", "/static/../../../../../..")
        for file in (str(secret), "/etc/passwd", "secret.txt")
    ]
    with ThreadPoolExecutor(4) as pool:
        for status, body in pool.map(ask, paths):
            assert b"top secret" not in body
            assert b"root:" not in body
            assert status != 500


def test_a_path_in_place_of_an_upload_is_refused(server):
    client = pytest.importorskip("gradio_client")
    port, _ = server
    session = client.Client(f"http://127.0.0.1:{port}/", verbose=False)
    fake = {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}, "orig_name": "hostname"}
    with pytest.raises(Exception, match=r".") as caught:
        session.predict(fake, "turning", "VideoMAE", 0.9, 0, "videomae_tiny.demo-16", fn_index=0)
    assert Path("/etc/hostname").read_text().strip() not in str(caught.value)
