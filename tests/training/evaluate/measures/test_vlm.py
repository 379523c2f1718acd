"""A vision-language model behind HTTP, played by a server of our own."""

import http.server
import json
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from realmaster_live.errors import ConfigError
from realmaster_live.training.evaluate.drives.films import RENDER
from realmaster_live.training.evaluate.measures.rubric import read_verdict
from realmaster_live.training.evaluate.measures.vlm import KEY, VlmClient, VlmMeasure, pause_s

GOOD = {"photograph": 2, "materials": 1, "light": 0, "shapes": 0, "objects": 1, "text": 0}


class Service(http.server.ThreadingHTTPServer):
    """Answers each question by `answers`, in turn, or hangs up on None."""

    def __init__(self):
        self.questions, self.headers, self.answers = [], [], []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        service = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        service.questions.append(json.loads(body))
        service.headers.append(dict(self.headers))
        answer = service.answers.pop(0) if service.answers else json.dumps(GOOD)
        if answer is None:
            return  # the connection is closed without an answer
        status, text = answer if isinstance(answer, tuple) else (200, answer)
        content = {"choices": [{"message": {"content": text}}], "usage": {"total_tokens": 9}}
        data = json.dumps(content if status == 200 else {"error": text}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def service():
    with Service() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def asked(service, folder, moments=2, **options):
    """Have a film judged that differs from its render."""
    url = f"http://127.0.0.1:{service.server_port}/v1"
    measure = VlmMeasure(client=VlmClient(url=url, model="eye", folder=folder, **options))
    for number in range(moments):
        render = np.full((40, 60, 3), 10 * number, np.uint8)
        sample = SimpleNamespace(image=render)
        for block in (5 * number, 5 * number, 5 * number + 1):  # one of three is asked about
            measure.add(RENDER, render, sample, block)
            measure.add("film", render + 100, sample, block)
    return measure.values((RENDER, "film"))


def test_a_question_holds_rubric_and_both_pictures_and_is_asked_once(
    service, tmp_path, monkeypatch
):
    monkeypatch.setenv(KEY, "secret")
    found, skipped = asked(service, tmp_path)
    assert not skipped and len(service.questions) == 4
    [message] = service.questions[0]["messages"]
    kinds = [part["type"] for part in message["content"]]
    assert kinds == ["text", "image_url", "image_url"] and "JSON" in message["content"][0]["text"]
    assert all(each["Authorization"] == "Bearer secret" for each in service.headers)
    assert len({each["Idempotency-Key"] for each in service.headers}) == 4
    assert found["film"]["judged a photograph"].value == 2
    assert found["film"]["judged flaws"].value == pytest.approx(2 / 5)
    assert found["film"]["unreadable answers"].value == 0
    assert asked(service, tmp_path) == (found, {}) and len(service.questions) == 4
    assert "secret" not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_an_answer_that_is_no_verdict_is_never_clean_and_never_paid_again(service, tmp_path):
    service.answers = [json.dumps(GOOD), json.dumps(GOOD), "It looks great!", '{"photograph": 9}']
    found, _ = asked(service, tmp_path)
    assert "judged flaws" not in found["film"], "nothing readable was said about it"
    assert found["film"]["unreadable answers"].value == 1
    assert found[RENDER]["unreadable answers"].value == 0
    asked(service, tmp_path)
    assert len(service.questions) == 4


def test_a_question_whose_answer_never_came_may_have_been_charged(service, tmp_path):
    service.answers = [json.dumps(GOOD), json.dumps(GOOD), None]
    found, skipped = asked(service, tmp_path)
    [(what, why)] = skipped.items()
    assert what == "question 0 about film" and "may have been charged" in why
    assert found["film"]["judged a photograph"].value == 2, "of the other moment"
    _, again = asked(service, tmp_path)
    assert "delete" in again[what] and len(service.questions) == 4
    [path] = [p for p in tmp_path.iterdir() if json.loads(p.read_text())["answer"] is None]
    path.unlink()
    assert asked(service, tmp_path)[1] == {} and len(service.questions) == 5


def test_a_refusal_is_not_charged_and_a_busy_service_is_waited_for(service, tmp_path):
    service.answers = [(401, "bad key")] * 2
    found, skipped = asked(service, tmp_path, moments=1)
    assert not any(found.values()) and skipped["judged flaws"] == "eye gave no answer that says it"
    service.questions.clear()
    service.answers = [(429, "busy"), json.dumps(GOOD), (401, "bad key")]
    _, skipped = asked(service, tmp_path, moments=1)
    assert len(service.questions) == 3 and "status 401" in skipped["question 0 about film"]
    assert asked(service, tmp_path, moments=1)[1] == {} and len(service.questions) == 4


def test_a_service_that_never_answers_is_not_asked_everything(service, tmp_path):
    """Each question that times out may be charged, and waits for minutes."""
    service.answers = [json.dumps(GOOD), None, None, None]
    _, skipped = asked(service, tmp_path, moments=5)
    assert len(service.questions) == 4
    assert skipped["6 more questions"].startswith("not sent, after 3 in a row")
    _, again = asked(service, tmp_path, moments=5)  # what may have been charged stops nothing
    assert len(service.questions) == 10 and len(again) == 3


def test_a_fault_of_the_service_may_have_been_charged(service, tmp_path):
    service.answers = [(500, "oops")]
    _, skipped = asked(service, tmp_path, moments=1)
    [path] = [p for p in tmp_path.iterdir() if json.loads(p.read_text())["answer"] is None]
    assert "status 500 (" in skipped["question 0 about render"]
    assert f"delete {path} to ask again" in skipped["question 0 about render"]


@pytest.mark.parametrize(
    ("wanted", "seconds"),
    [("7", 7.0), ("900", 30.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 4.0), ("", 4.0), ("-3", 4.0)],
)
def test_a_busy_service_says_how_long_to_wait_in_several_ways(wanted, seconds):
    assert pause_s(wanted, attempt=2) == seconds


def test_more_questions_than_allowed_are_refused_before_any_is_asked(service, tmp_path):
    with pytest.raises(ConfigError, match="at most 3 new questions to eye, got 4"):
        asked(service, tmp_path, most=3)
    assert not service.questions and not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="--vlm as an http address"):
        VlmClient(url="ftp://x", model="eye", folder=tmp_path)


def test_a_fenced_answer_is_read_and_half_of_one_is_not():
    text = json.dumps(GOOD | {"comment": "The leaves are flat."})
    assert read_verdict(f"```json\n{text}\n```").flaws == pytest.approx(0.4)
    for bad in (text[:-2], json.dumps(GOOD | {"text": "none"}), f"Here it is: {text}", "[]"):
        with pytest.raises(ValueError):
            read_verdict(bad)
