"""Fetching from a small local server: complete, resumed, damaged, and without a network."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.data import fetch
from bofl_jax.data.ecg import mitbih
from bofl_jax.data.ecg.wfdb_records import load_wfdb
from bofl_jax.data.physionet import CHECKSUMS_FILE

CONTENT = {"100.hea": b"header", "100.dat": bytes(range(256)) * 40, "100.atr": b"annotations"}


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder and keeps a list of the files that were requested."""

    def __init__(self, *args, requested, **kwargs):
        self.requested = requested
        super().__init__(*args, **kwargs)

    def do_GET(self):
        self.requested.append(self.path.rsplit("/", 1)[-1])
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The folder of a local server in place of PhysioNet, and the names of the requested files."""
    folder = tmp_path / "server" / mitbih.REMOTE
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    sums = "".join(f"{hashlib.sha256(content).hexdigest()} {name}\n" for name, content in CONTENT.items())
    (folder / CHECKSUMS_FILE).write_text(sums)
    requested = []
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path / "server", requested=requested))
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    monkeypatch.setattr(load_wfdb().io.download.config, "db_index_url", f"http://127.0.0.1:{httpd.server_port}/")
    monkeypatch.setattr(mitbih, "FILES", tuple(CONTENT))
    yield folder, requested
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != CHECKSUMS_FILE}


@pytest.mark.usefixtures("server")
def test_everything_is_fetched(tmp_path):
    reports = []
    folder = fetch("mitbih", tmp_path / "new" / "mitdb", progress=lambda *step: reports.append(step))
    assert contents(folder) == CONTENT
    assert (folder / CHECKSUMS_FILE).is_file()
    assert reports == [("100.hea", 1, 3), ("100.dat", 2, 3), ("100.atr", 3, 3)]


def test_a_broken_download_is_resumed(tmp_path, server):
    """Complete files are kept; partial, changed and missing ones are fetched again."""
    folder = fetch("mitbih", tmp_path / "mitdb")
    server[1].clear()
    (folder / "100.dat").write_bytes(CONTENT["100.dat"][:100])
    (folder / "100.hea").unlink()
    (folder / "100.atr.part").write_bytes(b"anno")
    fetch("mitbih", folder)
    assert set(server[1]) == {"100.hea", "100.dat"}
    assert {name: (folder / name).read_bytes() for name in CONTENT} == CONTENT
    server[1].clear()
    fetch("mitbih", folder)
    assert server[1] == []


def test_a_damaged_file_never_gets_its_final_name(tmp_path, server):
    (server[0] / "100.dat").write_bytes(b"half a file")
    with pytest.raises(BoflError, match=r"100\.dat came damaged from the server: run the command again"):
        fetch("mitbih", tmp_path / "mitdb")
    assert set(contents(tmp_path / "mitdb")) == {"100.hea"}


def test_a_file_that_the_server_lacks_stops_the_download(tmp_path, server):
    (server[0] / "100.atr").unlink()
    with pytest.raises(BoflError, match="could not be fetched") as caught:
        fetch("mitbih", tmp_path / "mitdb")
    assert "\n" not in str(caught.value)
    assert set(contents(tmp_path / "mitdb")) == {"100.hea", "100.dat"}


def test_without_a_network_the_error_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(load_wfdb().io.download.config, "db_index_url", "http://127.0.0.1:9/")  # no server
    with pytest.raises(BoflError, match=r"mitbih could not be fetched to .*: check the network") as caught:
        fetch("mitbih", tmp_path / "mitdb")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert list((tmp_path / "mitdb").iterdir()) == []


def test_an_unknown_name_and_an_unusable_folder_are_refused(tmp_path):
    with pytest.raises(BoflError, match="'simulator' is not a data set to fetch: use one of mitbih"):
        fetch("simulator")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BoflError, match="could not be fetched to"):
        fetch("mitbih", tmp_path / "file" / "mitdb")
