"""A model hub on loopback that speaks enough of the Hugging Face Hub API for the real client to push and pull.

It knows private repositories, tokens, ranges of files, branches and tags; it can cut transfers off, tamper with content
and stop answering.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_loopback_secret_token"


@dataclass
class Repo:
    private: bool = False
    commits: dict[str, dict[str, str]] = field(default_factory=dict)  # commit sha -> path -> blob sha256
    branches: dict[str, str] = field(default_factory=dict)  # name -> commit sha
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, str], message: str) -> str:
        words = [self.branches.get(branch), files, message, len(self.commits)]
        sha = hashlib.sha1(json.dumps(words, sort_keys=True).encode()).hexdigest()
        self.commits[sha], self.branches[branch] = files, sha
        return sha

    def resolve(self, revision: str) -> str | None:
        named = self.branches.get(revision) or self.tags.get(revision)
        return named or (revision if revision in self.commits else None)


class LoopbackHub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.log: list[str] = []
        self.cut_after: int | None = None  # bytes of a file after which the connection breaks off
        self.announced_size: int | None = None  # of a file, if it is not the true one
        self.pause: tuple[int, float] | None = None  # bytes of a file that are sent at once, and seconds after them
        self.delay = 0.0  # seconds before any answer
        self._sockets: list[socket.socket] = []

    def get_request(self):
        request, address = super().get_request()
        self._sockets.append(request)
        return request, address

    def handle_error(self, request, client_address):
        """A client that hangs up is no news."""

    def server_close(self):
        """Gone means gone: kept-alive connections are cut as well."""
        super().server_close()
        for request in self._sockets:
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return digest

    def add(self, name: str, files: dict[str, bytes], private: bool = False, branch: str = "main") -> str:
        """Make a commit behind the client's back."""
        repo = self.repos.setdefault(name, Repo(private))
        return repo.commit(branch, {path: self.put(data) for path, data in files.items()}, "added")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LoopbackHub

    def log_message(self, *_):
        pass

    def reply(self, status: int, body: bytes | dict | list = b"", **headers: str):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", headers.pop("length", str(len(data))))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def missing(self, code: str, status: int = 404):
        self.reply(status, {"error": code}, X_Error_Code=code)

    def handle_any(self):
        time.sleep(self.server.delay)
        url = urlsplit(self.path)
        path, query = unquote(url.path), parse_qs(url.query)
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.log.append(f"{self.command} {path}" + (f" {r}" if (r := self.headers.get("Range")) else ""))
        for method, pattern, action in ROUTES:
            if self.command in method and (match := re.fullmatch(pattern, path)):
                return action(self, body, query, **match.groupdict())
        return self.reply(501, {"error": f"not in this hub: {self.command} {path}"})

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815

    def allowed(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def find(self, repo: str, revision: str = "main", write: bool = False):
        found = self.server.repos.get(repo)
        if found is None or ((found.private or write) and not self.allowed()):
            self.missing("RepoNotFound", 404 if found is None and self.allowed() else 401)
            return None, None
        sha = found.resolve(revision)
        if sha is None:
            self.missing("RevisionNotFound")
            return None, None
        return found, sha

    # routes
    def whoami(self, body, query):
        if not self.allowed():
            return self.reply(401, {"error": "Invalid credentials in Authorization header"})
        return self.reply(200, {"type": "user", "name": "zoo", "orgs": [], "auth": {"accessToken": {"role": "write"}}})

    def create(self, body, query):
        if not self.allowed():
            return self.reply(401, {"error": "Invalid credentials in Authorization header"})
        want = json.loads(body)
        name = f"{want.get('organization') or 'zoo'}/{want['name']}"
        url = f"{self.server.endpoint}/{name}"
        if name in self.server.repos:
            return self.reply(409, {"error": "You already created this model repo", "url": url})
        private = want.get("private") or want.get("visibility") == "private"
        repo = self.server.repos[name] = Repo(bool(private))
        repo.commit("main", {}, "initial commit")
        return self.reply(200, {"url": url, "name": name, "id": name})

    def yaml(self, body, query):
        self.reply(200, {"errors": [], "warnings": []})

    def preupload(self, body, query, repo, revision):
        found, sha = self.find(repo, revision, write=True)
        if found is None:
            return
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith((".safetensors", ".ckpt", ".png")) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self.reply(200, {"files": files, "commitOid": sha})

    def lfs_batch(self, body, query, repo):
        objects = []
        for item in json.loads(body)["objects"]:
            known = {"oid": item["oid"], "size": item["size"]}
            upload = {"actions": {"upload": {"href": f"{self.server.endpoint}/lfs/{item['oid']}"}}}
            objects.append(known if item["oid"] in self.server.blobs else known | upload)
        self.reply(200, {"transfer": "basic", "objects": objects})

    def lfs_put(self, body, query, oid):
        self.reply(200 if self.server.put(body) == oid else 400)

    def commit(self, body, query, repo, revision):
        found, sha = self.find(repo, revision, write=True)
        if found is None:
            return
        files, message = dict(found.commits[sha]), ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            match line["key"]:
                case "header":
                    message = value["summary"]
                case "file":
                    files[value["path"]] = self.server.put(base64.b64decode(value["content"]))
                case "lfsFile":
                    files[value["path"]] = value["oid"]
                case "deletedFile":
                    files.pop(value["path"], None)
        new = found.commit(revision, files, message)
        url = f"{self.server.endpoint}/{repo}/commit/{new}"
        self.reply(200, {"success": True, "commitOid": new, "commitUrl": url, "hookOutput": ""})

    def branch(self, body, query, repo, revision):
        found, _ = self.find(repo, write=True)
        if found is not None:
            start = (json.loads(body) if body else {}).get("startingPoint", "main")
            found.branches[revision] = found.resolve(start)
            self.reply(200, {})

    def tag(self, body, query, repo, revision):
        found, sha = self.find(repo, revision, write=True)
        if found is not None:
            found.tags[json.loads(body)["tag"]] = sha
            self.reply(200, {})

    def info(self, body, query, repo, revision="main"):
        found, sha = self.find(repo, revision)
        if found is not None:
            facts = {"_id": "0", "id": repo, "modelId": repo, "sha": sha, "private": found.private, "tags": []}
            files = [{"rfilename": path} for path in found.commits[sha]]
            self.reply(200, facts | {"downloads": 0, "likes": 0, "siblings": files})

    def tree(self, body, query, repo, revision):
        found, sha = self.find(repo, revision)
        if found is not None:
            files = found.commits[sha].items()
            blobs = self.server.blobs
            self.reply(200, [{"type": "file", "path": p, "size": len(blobs[b]), "oid": b} for p, b in files])

    def refs(self, body, query, repo):
        found, _ = self.find(repo)
        if found is not None:
            branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": s} for n, s in found.branches.items()]
            tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": s} for n, s in found.tags.items()]
            self.reply(200, {"branches": branches, "tags": tags, "converts": []})

    def resolve(self, body, query, repo, revision, file):
        found, sha = self.find(repo, revision)
        if found is None:
            return
        blob = found.commits[sha].get(file)
        if blob is None:
            return self.reply(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=sha)
        data = self.server.blobs[blob]
        facts = {
            "ETag": f'"{blob}"',
            "X-Repo-Commit": sha,
            "X-Linked-Etag": f'"{blob}"',
            "X-Linked-Size": str(self.server.announced_size or len(data)),
        }
        status, part = 200, data
        if match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""):
            status, part = 206, data[int(match[1]) :]
            facts["Content-Range"] = f"bytes {match[1]}-{len(data) - 1}/{len(data)}"
        cut = self.server.cut_after
        if self.command == "GET" and self.server.pause and len(part) > 1000:
            size, seconds = self.server.pause
            self.send_response(status)
            for name, value in (facts | {"Content-Length": str(len(part))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.close_connection = True
            with suppress(OSError):
                for start in range(0, len(part), size or len(part)):
                    self.wfile.write(part[start : start + size])
                    self.wfile.flush()
                    time.sleep(seconds)
            return None
        if self.command == "GET" and cut is not None and len(part) > cut:
            self.send_response(status)
            for name, value in (facts | {"Content-Length": str(len(part))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(part[:cut])
            self.wfile.flush()
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return None
        return self.reply(status, part, **{name.replace("-", "_"): value for name, value in facts.items()})


R, V = r"(?P<repo>[^/]+/[^/]+)", r"(?P<revision>[^/]+)"
ROUTES = [
    (("GET",), r"/api/whoami-v2", Handler.whoami),
    (("POST",), r"/api/repos/create", Handler.create),
    (("POST",), r"/api/validate-yaml", Handler.yaml),
    (("POST",), rf"/api/models/{R}/preupload/{V}", Handler.preupload),
    (("POST",), rf"/{R}\.git/info/lfs/objects/batch", Handler.lfs_batch),
    (("PUT",), r"/lfs/(?P<oid>[0-9a-f]{64})", Handler.lfs_put),
    (("POST",), rf"/api/models/{R}/commit/{V}", Handler.commit),
    (("POST",), rf"/api/models/{R}/branch/{V}", Handler.branch),
    (("POST",), rf"/api/models/{R}/tag/{V}", Handler.tag),
    (("GET",), rf"/api/models/{R}/revision/{V}", Handler.info),
    (("GET",), rf"/api/models/{R}/tree/{V}", Handler.tree),
    (("GET",), rf"/api/models/{R}/refs", Handler.refs),
    (("GET",), rf"/api/models/{R}", Handler.info),
    (("GET", "HEAD"), rf"/{R}/resolve/{V}/(?P<file>.+)", Handler.resolve),
]


@contextmanager
def loopback_hub():
    """A hub that lives as long as the block; ``stop()`` on it ends it early."""
    hub = LoopbackHub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    stopped = []

    def stop():
        if not stopped:
            stopped.append(True)
            hub.shutdown()
            hub.server_close()
            thread.join()

    hub.stop = stop
    try:
        yield hub
    finally:
        stop()
