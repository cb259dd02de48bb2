#!/usr/bin/env python3
"""The load bench: how many requests one service answers, how long a POST takes beside a render, what streams cost.

Starts the service with one slot and measures it from the same machine, so that load generator and service share its
cores; the table is written to LOAD.md beside this file. Where nothing may be rendered, the slot is held by a job whose
source trickles in.

    python3 tests/bench/load.py [--seconds 8]
"""

import argparse
import asyncio
import http.client
import http.server
import json
import os
import platform
import queue
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = os.path.join(ROOT, ".bench", "load")
KEY = "fl_live_" + secrets.token_hex(16)
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
STREAMS = 200

# A document of the usual size: a few elements, some metadata.
JOB = {
    "width": 1280, "height": 720, "duration": 4, "background_color": "#203040",
    "elements": [{"type": "text", "text": f"Line {n}", "duration": 4, "y": f"{20 * n + 10}%", "font_size": 48} for n in range(4)],
    "metadata": {"order": "4711", "made_by": "load"},
}


class Trickle(http.server.BaseHTTPRequestHandler):
    """A source that never ends: 4 KiB a second, quick enough not to be given up."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(1 << 30))
        self.end_headers()
        self.wfile.write(b"\x89PNG\r\n\x1a\n")
        try:
            while True:
                self.wfile.write(bytes(4096))
                time.sleep(1)
        except OSError:
            pass

    def log_message(self, *_):
        pass


class Service:
    """The service on a free port, with a folder of its own and one slot."""

    def __init__(self):
        shutil.rmtree(WORK, ignore_errors=True)
        os.makedirs(WORK)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        environment = dict(os.environ, FRAMELANE_API_KEY=KEY, FRAMELANE_ALLOW_NETWORKS="127.0.0.0/8")
        command = [os.path.join(ROOT, "target", "debug", "framelane"), "serve", "--listen", f"127.0.0.1:{self.port}",
                   "--slots", "1", "--data-dir", os.path.join(WORK, "data")]
        log = open(os.path.join(WORK, "service.log"), "w", encoding="utf-8")
        self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.address}/readyz", timeout=2):
                    return
            except OSError:
                time.sleep(0.05)
        sys.exit(f"load: the service is not ready; its log is {log.name}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def call(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        headers = dict(AUTHORIZED, **({"Content-Type": "application/json"} if data else {}))
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=90) as answer:
            return json.load(answer)

    def until(self, job, statuses):
        while (now := self.call("GET", f"/v1/renders/{job}"))["status"] not in statuses:
            time.sleep(0.1)
        return now

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))


def wrk(url, seconds, connections, script=None):
    """Requests a second, p50 and p99 in milliseconds, and how many answers were no 2xx."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {KEY}"]
    if script:
        command += ["-s", script]
    told = subprocess.run(command + [url], capture_output=True, text=True, check=True).stdout
    unit = {"us": 1e-3, "ms": 1, "s": 1e3}

    def percentile(which):
        number, scale = re.search(rf"{which}%\s+([\d.]+)(us|ms|s)", told).groups()
        return float(number) * unit[scale]

    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", told).group(1)), "p50": percentile(50),
            "p99": percentile(99), "refused": int(refused.group(1)) if refused else 0}


def post_script():
    """wrk's script of POSTs: each with a key of its own, so that each is a job of its own."""
    path = os.path.join(WORK, "post.lua")
    body = json.dumps(JOB).replace("\\", "\\\\").replace("'", "\\'")
    with open(path, "w", encoding="utf-8") as script:
        script.write(f"""
wrk.method = 'POST'
wrk.body = '{body}'
wrk.headers['Content-Type'] = 'application/json'
local n = 0
request = function()
  n = n + 1
  wrk.headers['Idempotency-Key'] = 'load-{secrets.token_hex(4)}-' .. n
  return wrk.format()
end
""")
    return path


def post_at(service, rate, seconds):
    """POSTs at a steady rate, whether earlier ones are answered or not; latencies from when each was due, in ms."""
    due, latencies, refused = queue.Queue(), [], []

    def worker():
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        body = json.dumps(JOB)
        while (at := due.get()) is not None:
            connection.request("POST", "/v1/renders", body, dict(AUTHORIZED, **{"Content-Type": "application/json"}))
            answer = connection.getresponse()
            answer.read()
            latencies.append((time.monotonic() - at) * 1000)
            if answer.status != 202:
                refused.append(answer.status)

    workers = [threading.Thread(target=worker) for _ in range(24)]
    for thread in workers:
        thread.start()
    start = time.monotonic()
    for n in range(int(rate * seconds)):
        at = start + n / rate
        time.sleep(max(0, at - time.monotonic()))
        due.put(at)
    for _ in workers:
        due.put(None)
    for thread in workers:
        thread.join()
    took = time.monotonic() - start
    ordered = sorted(latencies)
    return {"rate": len(ordered) / took, "p50": ordered[len(ordered) // 2], "p99": ordered[int(len(ordered) * 0.99)],
            "refused": len(refused)}


async def follow(port, after, want, heard, ready):
    """One stream of the workspace's events: notes when each submission is heard."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /v1/events?after={after} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
                 "Accept: text/event-stream\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    ready.append(1)
    count = 0
    while count < want:
        line = await reader.readline()
        if line.startswith(b"data:") and b'"render.submitted"' in line:
            heard.append((json.loads(line[5:])["render_id"], time.monotonic()))
            count += 1
    writer.close()


async def streams(service, posts, rate):
    """Clients that all hear of every submission: delays from the POST's answer, and what the service spends."""
    head = json.load(urllib.request.urlopen(f"{service.address}/readyz"))["log_position"]
    heard, ready, answered = [], [], {}
    before = service.threads()
    clients = [asyncio.create_task(follow(service.port, head, posts, heard, ready)) for _ in range(STREAMS)]
    while len(ready) < STREAMS:
        await asyncio.sleep(0.01)
    spent, start = service.cpu_seconds(), time.monotonic()
    for n in range(posts):
        await asyncio.sleep(max(0, start + n / rate - time.monotonic()))
        job = await asyncio.to_thread(service.call, "POST", "/v1/renders", JOB)
        answered[job["id"]] = time.monotonic()
    await asyncio.wait_for(asyncio.gather(*clients), 60)
    took = time.monotonic() - start
    delays = sorted((at - answered[job]) * 1000 for job, at in heard)
    return {"p50": delays[len(delays) // 2], "p99": delays[int(len(delays) * 0.99)], "heard": len(delays),
            "cpu": (service.cpu_seconds() - spent) / took * 100, "threads": service.threads() - before}


def queue_position(service, job):
    return service.call("GET", f"/v1/renders/{job['id']}")["queue_position"]


def thousands(count):
    return f"{count / 1000:.0f},000" if count >= 10_000 else str(count)


def measure(service, seconds):
    """Every row of the table, in order."""
    rows = []

    def row(what, figures):
        rows.append((what, figures))
        print(f"load: {what}: " + ", ".join(f"{name} {value:.1f}" for name, value in figures.items()), flush=True)

    still = {"width": 64, "height": 64, "output_format": "png", "elements": JOB["elements"][:1], "metadata": JOB["metadata"]}
    done = service.call("POST", "/v1/renders", still)["id"]
    service.until(done, ["completed"])
    trickle = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Trickle)
    threading.Thread(target=trickle.serve_forever, daemon=True).start()
    source = f"http://127.0.0.1:{trickle.server_port}/endless.png"
    brake = service.call("POST", "/v1/renders", {"elements": [
        {"type": "image", "id": "endless", "source_url": source, "duration": 1}]})["id"]
    service.until(brake, ["processing"])

    row("GET a completed job", wrk(f"{service.address}/v1/renders/{done}", seconds, 16))
    row("POST, as fast as it goes", wrk(f"{service.address}/v1/renders", seconds, 32, post_script()))
    queued = service.call("POST", "/v1/renders", JOB)
    row(f"GET a queued job behind {thousands(queue_position(service, queued))} others",
        wrk(f"{service.address}/v1/renders/{queued['id']}", seconds, 16))
    row("GET a list of 20 of them", wrk(f"{service.address}/v1/renders", seconds, 16))
    row("GET a list of 20 by metadata", wrk(f"{service.address}/v1/renders?metadata%5Border%5D=4711", seconds, 16))
    row("POST, 100 a second", post_at(service, 100, seconds))
    row(f"{STREAMS} event streams", asyncio.run(streams(service, 100, 10)))

    # The brake off, the queue empty but for one long film.
    service.call("DELETE", f"/v1/renders/{brake}")
    film = dict(JOB, duration=600, priority=100)
    film["elements"] = [dict(element, duration=600) for element in JOB["elements"]]
    film = service.call("POST", "/v1/renders", film)["id"]
    service.until(film, ["processing"])
    row("POST while a film is rendered, 100 a second", post_at(service, 100, seconds * 2))
    row("POST while a film is rendered, as fast as it goes", wrk(f"{service.address}/v1/renders", seconds, 32, post_script()))
    row("GET a completed job while a film is rendered", wrk(f"{service.address}/v1/renders/{done}", seconds, 16))
    still_rendering = service.call("GET", f"/v1/renders/{film}")["status"]
    if still_rendering != "processing":
        sys.exit(f"load: the film was {still_rendering} before the measurement ended")
    service.call("DELETE", f"/v1/renders/{film}")
    return rows


def report(rows, seconds):
    lines = ["# Load", "",
             f"`make bench-load` on {os.cpu_count()} cores ({platform.machine()}), which the load generator shares; {seconds} s a row; "
             "SQLite, every answered POST on the disk. Latencies in milliseconds, at a steady rate counted from when a request was due.", "",
             "| | a second | p50 | p99 | refused |", "|---|---|---|---|---|"]
    for what, figures in rows:
        if "rate" in figures:
            lines.append(f"| {what} | {figures['rate']:.0f} | {figures['p50']:.1f} | {figures['p99']:.1f} | {figures['refused']} |")
    for what, figures in rows:
        if "rate" not in figures:
            lines += ["", f"{what}, 10 submissions a second: each heard of all {figures['heard'] // STREAMS}, p50 {figures['p50']:.1f} ms and "
                      f"p99 {figures['p99']:.1f} ms after the POST's answer; {figures['cpu']:.0f} % of a core in all; "
                      f"{figures['threads']} threads more than before."]
    with open(os.path.join(HERE, "LOAD.md"), "w", encoding="utf-8") as table:
        table.write("\n".join(lines) + "\n")
    print("\n".join(lines))


def main():
    arguments = argparse.ArgumentParser(description="Measures the service under load.")
    arguments.add_argument("--seconds", type=int, default=8)
    seconds = arguments.parse_args().seconds
    service = Service()
    try:
        rows = measure(service, seconds)
    finally:
        service.stop()
    report(rows, seconds)


if __name__ == "__main__":
    main()
