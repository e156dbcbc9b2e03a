"""The parts of the SLURM, Ray and S3 programs that need neither."""

import http.client
import http.server
import socket
import threading
import urllib.error
import urllib.request

import pytest
from benchmarks.documented_code import documented_code
from benchmarks.fault_proxy import FaultProxy


def test_code_is_read_from_the_documentation_and_changed():
    script = documented_code("guides/scale_up.md", "#SBATCH --array", {"0-63": "0-3"})
    assert script.startswith("#!/bin/bash\n#SBATCH --array=0-3 ")  # sbatch refuses scripts without the first line
    with pytest.raises(ValueError, match="lacks 'nothing of the kind'"):
        documented_code("guides/scale_up.md", "#SBATCH --array", {"nothing of the kind": ""})
    with pytest.raises(ValueError, match="has no code block"):
        documented_code("guides/scale_up.md", "no such block", {})


BODY = bytes(4000)


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open, so that only the proxy ends an answer

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with FaultProxy(server.server_port) as proxy:
            yield proxy
            proxy.shutdown()
        server.shutdown()


def get(proxy, timeout=5.0):
    with urllib.request.urlopen(proxy.url, timeout=timeout) as answer:
        return answer.read()


def test_the_proxy_serves_and_injects_faults(proxy):
    assert get(proxy) == BODY
    proxy.set("error")
    with pytest.raises(urllib.error.HTTPError, match="503"):
        get(proxy)
    proxy.set("reset")
    with pytest.raises((ConnectionError, urllib.error.URLError)):
        get(proxy)
    proxy.set("cut")
    client = http.client.HTTPConnection(*proxy.server_address, timeout=5)
    client.request("GET", "/")
    with pytest.raises(http.client.IncompleteRead):
        client.getresponse().read()
    proxy.set("stall")
    with pytest.raises((TimeoutError, socket.timeout)):
        get(proxy, timeout=0.3)
    proxy.set("serve")
    assert get(proxy) == BODY
    assert proxy.faults == 4


def test_the_proxy_treats_each_so_many_th_request_so(proxy):
    proxy.set("error", every=3)
    outcomes = []
    for _ in range(6):
        try:
            outcomes.append(get(proxy))
        except urllib.error.HTTPError as error:
            outcomes.append(error.code)
    assert outcomes == [BODY, BODY, 503, BODY, BODY, 503]
