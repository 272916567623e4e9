"""The inspection station: its interface by HTTP, and its page in a real browser."""

import shutil
import threading
import time

import pytest
from tiny_bundle import CLASSES, write_colour

from edgetl_runtime import Monitor, Session

fastapi = pytest.importorskip("fastapi", reason="the station needs fastapi")


@pytest.fixture
def client(bundle, baseline, example):
    testclient = pytest.importorskip("fastapi.testclient", reason="needs httpx")
    app = example("station/app.py")
    with Session.open(bundle, variant="onnx-fp32") as session:
        yield testclient.TestClient(app.station(session, Monitor(baseline, window=50)))


def test_a_picture_gets_label_confidence_and_time(tmp_path, client):
    found = client.post("/predict", content=write_colour(tmp_path / "x.png", "blue").read_bytes()).json()
    assert found["label"] == "blue"
    assert found["milliseconds"] > 0
    assert found["confidence"] == pytest.approx(found["probabilities"]["blue"])
    assert sum(found["probabilities"].values()) == pytest.approx(1)


def test_what_is_no_picture_is_told_and_counts_for_nothing(client):
    answer = client.post("/predict", content=b"hello")
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("The picture ")
    assert client.get("/monitor").json()["observed"] == 0


def test_an_upload_beyond_the_limit_is_refused(client, monkeypatch):
    monkeypatch.setattr("example_app.MAX_UPLOAD_BYTES", 100)
    assert client.post("/predict", content=bytes(101)).status_code == 413


def test_the_monitor_rolls_and_alarms(tmp_path, client):
    picture = write_colour(tmp_path / "x.png", "red").read_bytes()
    for _ in range(50):
        client.post("/predict", content=picture)
    found = client.get("/monitor").json()
    assert (found["observed"], found["window"]) == (50, 50)
    assert "classes" in found["alarms"]
    assert 'edgetl_drift_alarm{quantity="classes"} 1.0' in client.get("/metrics").text


def test_the_page_names_no_other_host_and_the_bundle_is_told(client):
    page = client.get("/").text
    assert "http://" not in page
    assert "https://" not in page
    assert client.get("/about").json()["name"] == "Colours on the belt"


def test_without_a_baseline_there_is_no_monitor(bundle, example):
    testclient = pytest.importorskip("fastapi.testclient", reason="needs httpx")
    app = example("station/app.py")
    with Session.open(bundle, variant="onnx-fp32") as session:
        client = testclient.TestClient(app.station(session))
        assert client.get("/monitor").json() is None
        assert client.get("/metrics").status_code == 404


@pytest.fixture
def address(bundle, baseline, example):
    """Serve the station on a free port."""
    uvicorn = pytest.importorskip("uvicorn", reason="needs uvicorn")
    app = example("station/app.py")
    with Session.open(bundle, variant="onnx-fp32") as session:
        config = uvicorn.Config(
            app.station(session, Monitor(baseline, window=50)), port=0, log_level="warning", ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture
def browser(tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    from selenium.webdriver.chrome.service import Service

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium or chromedriver is not installed. Run: make test-system")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--window-size=1280,1000",
        profile,
    ):
        options.add_argument(flag)
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


@pytest.mark.system
def test_dropped_pictures_are_answered_in_a_real_browser(tmp_path, address, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    def text(name):
        return browser.find_element(By.ID, name).text

    wait = WebDriverWait(browser, 60)
    browser.get(address)
    wait.until(lambda _: text("name") == "Colours on the belt")
    colours = [CLASSES[number % 3] for number in range(8)] + ["blue"]
    pictures = [write_colour(tmp_path / f"{k}.png", colour, k, side=320) for k, colour in enumerate(colours)]
    browser.find_element(By.ID, "file").send_keys("\n".join(map(str, pictures)))
    wait.until(lambda _: len(browser.find_elements(By.TAG_NAME, "figure")) == len(colours))
    wait.until(lambda _: text("window").startswith("9 of 50"))
    assert text("label") == "blue"
    assert text("time").endswith(" ms")
    shown = [one.text for one in browser.find_elements(By.TAG_NAME, "figcaption")]
    assert shown == colours[::-1]
    browser.save_screenshot(str(tmp_path / "station.png"))
    browser.find_element(By.ID, "file").send_keys(str(tmp_path / "profile" / "Local State"))
    wait.until(lambda _: text("label") == "not usable")
    assert text("state").startswith("The picture ")
    errors = [entry for entry in browser.get_log("browser") if "422" not in entry["message"]]
    assert errors == []
