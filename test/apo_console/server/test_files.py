"""What the page fetches over plain HTTP."""

import http.client
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apo_console.library.episodes import EpisodeLibrary
from apo_console.library.learning import LearningLibrary
from apo_console.library.library import Library
from apo_console.server.access import Access
from apo_console.server.app import make_app
from apo_console.server.files import file_routes
from apo_console.server.hub import Hub
from apo_console.server.server_thread import ServerThread, bound_socket
from apo_episodes.labeling import LabelRule

TAKEOVERS = Path(__file__).parents[2] / "data" / "takeovers"
TOKEN = "a token of the test"


@pytest.fixture
def library(tmp_path):
    episodes = Path(shutil.copytree(TAKEOVERS, tmp_path / "episodes"))
    (tmp_path / "secret.h5").write_bytes(b"secret")
    return Library(
        EpisodeLibrary(episodes, LabelRule(), tmp_path / "exports", read_s=30.0),
        LearningLibrary(tmp_path / "adapters", tmp_path / "training"),
    )


@pytest.fixture
def get(robots, library):
    """(path, token) -> status, headers and content."""
    listener = bound_socket("127.0.0.1", 0)
    port = listener.getsockname()[1]
    threads = ThreadPoolExecutor(1)
    app = make_app(Hub(robots, 1.0, 1.0, 1.0), Access(TOKEN, port), files=file_routes([library], threads))
    server = ServerThread(app, listener)
    server.start()

    def fetch(path, token=TOKEN):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.putrequest("GET", path, skip_accept_encoding=True)
        connection.putheader("Cookie", f"apo_console_{port}={token}")
        connection.endheaders()
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    yield fetch
    server.close()
    threads.shutdown()


def test_episodes_and_learning_are_json(get):
    status, headers, content = get("/api/0/episodes")
    assert status == 200 and headers["cache-control"] == "no-store"
    assert len(json.loads(content)["rows"]) == 4
    status, _, content = get("/api/0/learning")
    found = json.loads(content)
    assert (found["serving"], found["runs"], found["rounds"][0]["episodes"]) == (0, [], 4)


def test_an_episode_its_pictures_and_its_file(get):
    shown = json.loads(get("/api/0/episodes/lift-10003")[2])
    assert shown["steps"] == 33
    status, headers, content = get("/api/0/episodes/lift-10003/frames/wrist?start=0&count=2")
    assert status == 200 and content[4:6] == b"\xff\xd8"
    status, headers, content = get("/api/0/episodes/lift-10003/file")
    assert 'filename="lift-10003.h5"' in headers["content-disposition"]
    assert content == (TAKEOVERS / "lift-10003.h5").read_bytes()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/1/episodes", 404),
        ("/api/-1/episodes", 404),
        ("/api/x/episodes", 404),
        ("/api/0/episodes/none", 404),
        ("/api/0/episodes/..%2fsecret", 404),
        ("/api/0/episodes/../secret/file", 404),
        ("/api/0/episodes/..%2fsecret/file", 404),
        ("/api/0/episodes/%2e%2e/file", 404),
        ("/api/0/episodes/%2fetc%2fpasswd/file", 404),
        ("/api/0/episodes/lift-10003/frames/back?start=0&count=1", 404),
        ("/api/0/episodes/lift-10003/frames/wrist", 400),
        ("/api/0/episodes/lift-10003/frames/wrist?start=-1&count=1", 400),
        ("/api/0/episodes/lift-10003/frames/wrist?start=0&count=99999999999999999999", 400),
        ("/api/0/runs/..%2f..%2fx/metrics", 404),
        ("/static/../app.py", 404),
        ("/static/%2e%2e/config.py", 404),
    ],
)
def test_what_is_not_there_has_a_status(get, path, status):
    found, _, content = get(path)
    assert found == status and b"secret" not in content


def test_nothing_is_read_without_the_token(get):
    for path in ("/api/0/episodes", "/api/0/episodes/lift-10003/file", "/static/main.js"):
        assert get(path, token="wrong")[0] == 401
