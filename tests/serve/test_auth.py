"""Who may ask, how much, and in which form; health, and paths that are not there."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator

import httpx
import openai
import pytest

from adafuse import ConfigError, Ensemble
from adafuse.serve.errors import api_error
from adafuse.testing import ScriptedMember
from serve_setup import PATIENCE, Running, chat, poll, serving

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server() -> Generator[Running]:
    ensemble = Ensemble([ScriptedMember(lambda text: f"{text}!", name="a")])
    with serving(ensemble, max_body_bytes=2000) as running:
        yield running


@pytest.fixture(scope="module")
def locked() -> Generator[Running]:
    with serving(Ensemble([ScriptedMember("yes", name="a")]), keys=["one", "zwei ü"]) as running:
        yield running


def send(server: Running, body: bytes, **headers: str) -> httpx.Response:
    url = f"{server.url}/chat/completions"
    return httpx.post(url, content=body, headers={**JSON, **headers}, timeout=PATIENCE)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe{}",
        b'{"messages": "\xff"}',
        b'{"temperature": NaN}',
        b'{"temperature": Infinity}',
        b"[" * 1900,
        b'{"a":' * 380,
    ],
)
def test_what_is_no_json_object_is_refused(server: Running, body: bytes) -> None:
    answer = send(server, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_json"


@pytest.mark.parametrize(
    "value", [1, "x", True, [], {}, [1], [None], [[]], [{"role": 1, "content": "x"}]]
)
@pytest.mark.parametrize(
    "name", ["messages", "tools", "stop", "response_format", "model", "stream"]
)
def test_wrong_types_are_the_callers_fault(server: Running, name: str, value: object) -> None:
    right: dict[str, tuple[object, ...]] = {"stop": ("x", []), "tools": ([],), "stream": (True,)}
    answer = server.post(chat("hi", **{name: value}))
    fits = any(value == one and type(value) is type(one) for one in right.get(name, ()))
    assert (answer.status_code == 200) == fits, answer.text
    if answer.status_code != 200:
        assert answer.status_code == (404 if name == "model" else 400)
        assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "text",
    [
        "e\u0301 ﷽ 👩\u200d👩\u200d👧 \u202e\u0000\ufeff \U0010ffff \u2028",
        "\n\t ",
        "<|im_end|>",
        "data: [DONE]\n\n",
    ],
)
def test_unicode_is_exact(server: Running, text: str) -> None:
    assert server.post(chat(text)).json()["choices"][0]["message"]["content"] == f"{text}!"
    streamed = server.openai().chat.completions.create(**chat(text), stream=True)
    assert "".join(one.choices[0].delta.content or "" for one in streamed) == f"{text}!"
    escaped = json.dumps(chat(text)).encode("ascii")
    assert send(server, escaped).json()["choices"][0]["message"]["content"] == f"{text}!"


def test_half_a_character_is_refused(server: Running) -> None:
    answer = send(server, json.dumps(chat("\ud83d")).encode("ascii"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_prompt")
    answer = send(server, json.dumps(chat("x", stop="\ud83d")).encode("ascii"))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "stop")


def test_a_body_that_is_too_long(server: Running) -> None:
    long = json.dumps(chat("x" * 3000)).encode()
    told = send(server, long)
    assert (told.status_code, told.json()["error"]["code"]) == (413, "request_too_large")

    def parts() -> Generator[bytes]:  # of a length that is not told
        yield from (long[at : at + 500] for at in range(0, len(long), 500))

    url = f"{server.url}/chat/completions"
    untold = httpx.post(url, content=parts(), headers=JSON, timeout=PATIENCE)
    assert (untold.status_code, untold.json()["error"]["code"]) == (413, "request_too_large")
    assert server.post(chat("x")).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_json_is_read(server: Running, kind: str) -> None:
    answer = send(server, json.dumps(chat("hi")).encode(), **{"content-type": kind})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "invalid_type")
    right = send(server, json.dumps(chat("hi")).encode(), **{"content-type": "Application/JSON; x"})
    assert right.status_code == 200


def test_paths_and_methods_that_are_not_there(server: Running) -> None:
    for answer in (
        httpx.get(f"{server.url}/embeddings"),
        httpx.get(f"{server.url}/chat/completions"),
        httpx.get(f"{server.root}/docs"),
        httpx.get(f"{server.root}/openapi.json"),
    ):
        assert answer.status_code in (404, 405)
        assert answer.json()["error"]["code"] == "no_such_path"
    assert "server" not in httpx.get(f"{server.root}/health").headers


def test_a_right_key_lets_in(locked: Running) -> None:
    assert locked.openai(api_key="one").models.list().data
    with pytest.raises(openai.AuthenticationError) as caught:
        locked.openai(api_key="two").models.list()
    assert (caught.value.status_code, caught.value.code) == (401, "invalid_api_key")
    utf8 = {"authorization": "Bearer zwei ü".encode()}
    assert httpx.get(f"{locked.url}/models", headers=utf8).status_code == 200


@pytest.mark.parametrize("given", ["", "Bearer", "Basic one", "one", "Bearer one two", "Bearer On"])
def test_others_do_not(locked: Running, given: str) -> None:
    headers = {"authorization": given} if given else {}
    for path in ("v1/models", "v1/models/a", "metrics"):
        answer = httpx.get(f"{locked.root}/{path}", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    # Not even whether the body is JSON is told.
    answer = httpx.post(f"{locked.url}/chat/completions", content=b"{", headers=headers)
    assert answer.status_code == 401


def test_health_needs_no_key(locked: Running) -> None:
    assert httpx.get(f"{locked.root}/health").json() == {"status": "ok", "state": "ready"}
    assert httpx.get(f"{locked.root}/ready").status_code == 200


def test_while_members_are_loaded() -> None:
    go = threading.Event()

    def load() -> Ensemble:
        assert go.wait(PATIENCE)
        return Ensemble([ScriptedMember("yes", name="a")])

    with serving(load, wait=False) as running:
        assert httpx.get(f"{running.root}/health").status_code == 200
        ready = httpx.get(f"{running.root}/ready")
        assert (ready.status_code, ready.json()) == (503, {"status": "loading"})
        early = running.post(chat("hi"))
        assert (early.status_code, early.json()["error"]["code"]) == (503, "loading")
        assert early.headers["retry-after"]
        go.set()
        poll(lambda: httpx.get(f"{running.root}/ready").status_code == 200)
        assert running.post(chat("hi")).status_code == 200


def test_while_draining() -> None:
    with serving(Ensemble([ScriptedMember("yes", name="a")])) as running:
        running.service.drain()
        assert httpx.get(f"{running.root}/ready").json() == {"status": "draining"}
        late = running.post(chat("hi"))
        assert (late.status_code, late.json()["error"]["code"]) == (503, "draining")
        assert late.headers["retry-after"]


def test_the_name_of_a_member_is_not_the_ensembles() -> None:
    from adafuse.concurrency.admission import Admission
    from adafuse.serve.service import RequestService

    service = RequestService("a", Admission())
    with pytest.raises(ConfigError, match="'a' is a member's"):
        service.open(Ensemble([ScriptedMember(name="a"), ScriptedMember(name="b")]))


def test_of_other_errors_nothing_is_told() -> None:
    told = api_error(ZeroDivisionError("/home/secret"))
    assert (told.status, told.code) == (500, "internal_error")
    assert "secret" not in json.dumps(told.body)
