"""A small server with OpenAI's chat interface on loopback, and scripted faults."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LABELS = ("positive", "negative")


def log_odds(user: str) -> float:
    """What the fake model thinks of a prompt: some number that its text decides."""
    return (sum(user.encode()) % 41 - 20) / 5


class FakeServer:
    """Use as `with FakeServer() as server`; `server.url` is its endpoint.

    Args:
        fault: Called for each chat request after the probes with its number and the handler; True means that
            it has answered in its own way.
        kind: `vllm`, `plain` (log-probabilities but no constraint) or `labels` (no log-probabilities).
        key: Demanded of every request.
    """

    def __init__(
        self,
        fault: Callable[[int, Handler], bool] | None = None,
        *,
        kind: str = "plain",
        key: str | None = None,
    ) -> None:
        self.fault = fault or (lambda number, handler: False)
        self.kind = kind
        self.key = key
        self.top: list[dict[str, Any]] | None = None
        self.content: str | None = None
        self.pieces = {label: [label] for label in LABELS}
        self.seen: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.most_at_once = 0
        self.at_once = 0
        self.released = threading.Event()
        self.lock = threading.Lock()
        outer = self

        class Bound(Handler):
            fake = outer

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that hangs up is part of the tests

        self._server = Server(("127.0.0.1", 0), Bound)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> FakeServer:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def reply(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer a chat request as the fake model does."""
        user = body["messages"][1]["content"]
        odds = log_odds(user)
        choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": "positive"}}
        if self.kind == "labels":
            label = LABELS[odds < 0]
            if "response_format" in body:
                label = json.dumps({"answer": label})
            choice["message"]["content"] = label
        elif body.get("logprobs"):
            low = -math.log1p(math.exp(odds))  # log P(negative)
            top = [("positive", low + odds), ("negative", low), ("pos", low + odds - 5), ("The", -9.0)]
            if self.kind == "vllm":
                assert body["structured_outputs"] == {"choice": list(LABELS)}
                top[3] = ("n", -9999.0)
            pairs = self.top or [{"token": token, "logprob": lp, "bytes": None} for token, lp in top]
            choice["logprobs"] = {"content": [{**pairs[0], "top_logprobs": pairs}]}
        if self.content is not None:
            choice["message"]["content"] = self.content
        usage = {"prompt_tokens": len(user), "prompt_tokens_details": {"cached_tokens": 3}}
        return {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": usage}


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    fake: FakeServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def send(self, body: bytes | dict[str, Any], status: int = 200, **headers: str) -> bool:
        """Send a whole answer; returns True."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return True

    def drop(self) -> bool:
        """Break the connection off; returns True."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
        return True

    def stream_for_ever(self, chunk: bytes, pause: float = 0.0) -> bool:
        """Send a body without an end until the client hangs up or the server ends."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not self.fake.released.is_set():
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            time.sleep(pause)
        return True

    def do_GET(self) -> None:
        if not self._allowed():
            return
        if self.path == "/v1/models":
            owner = "vllm" if self.fake.kind == "vllm" else "somebody"
            self.send({"object": "list", "data": [{"id": "judge", "owned_by": owner, "root": "a/model"}]})
        elif self.path == "/version" and self.fake.kind == "vllm":
            self.send({"version": "0.1.2"})
        else:
            self.send({"error": "no such thing"}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._allowed():
            return
        if self.path == "/tokenize" and self.fake.kind == "vllm" and "prompt" in body:
            assert body["return_token_strs"]
            self.send({"token_strs": self.fake.pieces[body["prompt"]]})
            return
        if self.path == "/tokenize" and self.fake.kind == "vllm":
            self.send({"count": sum(len(message["content"]) for message in body["messages"]), "tokens": []})
            return
        if self.path != "/v1/chat/completions" or body["model"] != "judge":
            self.send({"error": f"no {body['model']} at {self.path}"}, 404)
            return
        if body["messages"][1]["content"].startswith("Is the word good"):
            self.send(self.fake.reply(body))
            return
        with self.fake.lock:
            number = len(self.fake.seen)
            self.fake.seen.append(body)
            self.fake.times.append(time.monotonic())
            self.fake.at_once += 1
            self.fake.most_at_once = max(self.fake.most_at_once, self.fake.at_once)
        try:
            if not self.fake.fault(number, self):
                self.send(self.fake.reply(body))
        finally:
            with self.fake.lock:
                self.fake.at_once -= 1

    def _allowed(self) -> bool:
        if self.fake.key is None or self.headers.get("Authorization") == f"Bearer {self.fake.key}":
            return True
        self.send({"error": f"not {self.headers.get('Authorization')}"}, 401)
        return False
