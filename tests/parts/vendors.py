"""Two vendors' HTTP interfaces on this machine, as they document them, with faults on demand."""

import json
import threading
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "secret-key"


def parts_of(headers, body):
    """Return name -> content of a form of several parts."""
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    form = BytesParser(policy=HTTP).parsebytes(head + body)
    names = [part.get_param("name", header="content-disposition") for part in form.iter_parts()]
    found = [part.get_payload(decode=True) for part in form.iter_parts()]
    return dict(zip(names, found, strict=True))


class Vendors:
    """What both vendors know; `edit` makes the answer of the bytes that were sent.

    Attributes:
        orders: what was charged. asked: (method, path) of all requests.
        faults: what the next requests to a path get instead: a status, or "hang up".
        waits: how often a job is said to be running. failure: why jobs fail.
    """

    def __init__(self, edit=lambda film: film):
        self.edit = edit
        self.orders, self.asked, self.uploads, self.jobs = [], [], {}, {}
        self.faults, self.waits, self.failure = {}, 1, ""
        vendors = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                vendors.answer(self, "GET")

            def do_POST(self):
                vendors.answer(self, "POST")

            def log_message(self, *words):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def answer(self, request, method):
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.asked.append((method, request.path))
        fault = next((f for path, f in self.faults.items() if request.path.startswith(path)), [])
        now = fault.pop(0) if fault else None
        if isinstance(now, int):
            return self.send(request, now, {"error": "a fault"})
        place, headers = request.path, request.headers
        if place.startswith("/v1/") and method == "POST" and place != "/v1/uploads":
            given = self.order(place, headers, body)
            if isinstance(given, tuple):
                return self.send(request, *given)
            if now == "hang up":  # the order was taken, and its answer never comes
                return request.connection.close()
            return self.send(request, 200, given)
        return self.other(request, place, headers, body)

    def order(self, place, headers, body):
        """Charge an order and return its answer."""
        if place == "/v1/video_to_video":
            if headers["Authorization"] != f"Bearer {KEY}" or not headers["X-Runway-Version"]:
                return 401, {"error": "no such key"}
            asked = json.loads(body)
            if asked["model"] != "aleph2" or asked["videoUri"] not in self.uploads:
                return 400, {"error": "Validation of body failed"}
            film, prompt = self.uploads[asked["videoUri"]], asked["promptText"]
        else:
            form = parts_of(headers, body)
            if headers["x-api-key"] != KEY:
                return 401, {"detail": "Invalid API key"}
            film, prompt = form["data"], form["prompt"].decode()
        name = f"job-{len(self.orders)}"
        self.orders.append(prompt)
        self.jobs[name] = [self.edit(film), self.waits]
        if place == "/v1/video_to_video":
            return {"id": name}
        return {"job_id": name, "status": "pending"}

    def other(self, request, place, headers, body):
        """Answer what costs nothing."""
        *_, last = place.split("/")
        if place == "/v1/uploads":
            name = f"runway://{len(self.uploads)}"
            self.uploads[name] = b""
            return self.send(
                request,
                200,
                {"runwayUri": name, "uploadUrl": f"{self.url}/bucket", "fields": {"key": name}},
            )
        if place == "/bucket":
            form = parts_of(headers, body)
            self.uploads[form["key"].decode()] = form["file"]
            return self.send(request, 204, None)
        if last in self.jobs and place.startswith(("/v1/tasks/", "/v1/jobs/")):
            return self.send(request, 200, self.state(place, last))
        if place.startswith("/films/"):
            return self.send(request, 200, self.jobs[last][0])
        if place.endswith("/content"):
            return self.send(request, 200, self.jobs[place.split("/")[-2]][0])
        return self.send(request, 404, {"error": "nothing here"})

    def state(self, place, name):
        """Return a job's state in the words of its vendor."""
        job = self.jobs[name]
        job[1] -= 1
        runway = place.startswith("/v1/tasks/")
        about = {"id": name, "createdAt": "2026-11-29T12:00:00Z"} if runway else {"job_id": name}
        if job[1] >= 0:
            running = {"status": "RUNNING", "progress": 0.5} if runway else {"status": "processing"}
            return about | running
        if self.failure:
            failed = {"status": "FAILED", "failure": self.failure, "failureCode": "SAFETY"}
            return about | (failed if runway else {"status": "failed", "error": self.failure})
        done = {"status": "SUCCEEDED", "output": [f"{self.url}/films/{name}"]}
        return about | (done if runway else {"status": "completed"})

    def send(self, request, status, content):
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        request.send_response(status)
        kind = "video/mp4" if isinstance(content, bytes) else "application/json"
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(raw) if status != 204 else 0))
        request.end_headers()
        if status != 204:
            request.wfile.write(raw)
