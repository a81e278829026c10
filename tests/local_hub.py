"""A stand-in of the Hugging Face Hub on this machine: repositories from memory, over HTTP, as its client asks for them."""

import hashlib
import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

ASKED = re.compile(r"/api/(models|datasets)/([^/]+/[^/?]+)(?:/revision/[^/?]+)?(?:\?.*)?$")
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/([^?]+)")
LARGE = 100         # bytes from which on a file is kept as Git LFS keeps it, with a SHA-256


class LocalHub:
    """`repos`: "models/owner/name" or "datasets/..." -> file name -> bytes. What was asked for is in `log`.

    `cut`: after so many bytes of a file the connection breaks, once, and with `falls` the hub with it; `broken`: names of files
    that arrive changed; `status`: repository -> HTTP status that its requests get.
    """

    def __init__(self):
        self.repos, self.log, self.status, self.broken = {}, [], {}, set()
        self.cut, self.falls, self.down = None, False, False

    def commit(self, key):
        """Another one for other files."""
        return hashlib.sha1(repr(sorted(self.repos[key].items())).encode()).hexdigest()

    def info(self, key):
        """What the Hub says about a repository and its files."""
        siblings = [{"rfilename": name, "size": len(data), "blobId": etag(data),
                     **({"lfs": {"size": len(data), "sha256": sha256(data), "pointerSize": 130}} if len(data) > LARGE else {})}
                    for name, data in self.repos[key].items()]
        return {"id": key.split("/", 1)[1], "sha": self.commit(key), "siblings": siblings, "private": False, "tags": [],
                "downloads": 0, "likes": 0}

    @contextmanager
    def served(self):
        """The address at which it answers, within a `with`."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def etag(data):
    return sha256(data) if len(data) > LARGE else hashlib.sha1(data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.hub.log.append((self.command, self.path, self.headers.get("Range")))
        if found := ASKED.match(self.path):
            key = f"{found[1]}/{found[2]}"
            if not self.refuse(key):
                self.answer(json.dumps(self.hub.info(key)).encode(), {"Content-Type": "application/json"})
            return
        if found := FILE.match(self.path):
            key, name = f"{'datasets' if found[1] else 'models'}/{found[2]}", found[4]
            if not self.refuse(key, name, found[3]):
                self.file(key, name)
            return
        self.answer(b"", {}, 404)

    do_HEAD = do_GET

    def refuse(self, key, name=None, commit=None):
        """Answer with an error if there is reason to; whether there was."""
        status, code = 503 if self.hub.down else self.hub.status.get(key), {403: "GatedRepo"}
        if status is None and key not in self.hub.repos:
            status, code = 401, {401: "RepoNotFound"}
        elif status is None and commit not in (None, self.hub.commit(key)):
            status, code = 404, {404: "RevisionNotFound"}
        elif status is None and name is not None and name not in self.hub.repos[key]:
            status, code = 404, {404: "EntryNotFound"}
        if status is None:
            return False
        self.answer(b"", {"X-Error-Code": code.get(status, "")}, status)
        return True

    def file(self, key, name):
        """Answer with a file, or the part of it that is asked for."""
        data = self.hub.repos[key][name]
        headers = {"X-Repo-Commit": self.hub.commit(key), "ETag": f'"{etag(data)}"', "X-Linked-Size": str(len(data))}
        if name in self.hub.broken:
            data = bytes(len(data))
        start = int(found[1]) if (found := re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")) else 0
        part = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        self.answer(data[start:], headers | part, 206 if start else 200)

    def answer(self, data, headers, status=200):
        """Send a reply, or with `cut` its beginning."""
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.hub.cut is not None and len(data) > self.hub.cut:
            data, self.hub.cut = data[:self.hub.cut], None
            self.close_connection, self.hub.down = True, self.hub.falls
        self.wfile.write(data)

    def log_message(self, *what):
        """Stay silent."""
