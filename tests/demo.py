#!/usr/bin/env python3
"""The demonstration: a film made through the REST API, as a client would.

Starts the embedded service on a free port, makes a few seconds of media, serves them on the loopback address, submits
a composition, shows its progress and downloads the film. The last line printed is the film's absolute path.
"""

import functools
import http.server
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
FOLDER = os.path.join(ROOT, "demo")
sys.path.insert(0, os.path.join(HERE, "media"))

import make  # noqa: E402  (the module beside us, found through the line above)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the demo's media; says nothing."""

    def log_message(self, *_):
        pass


def serve_media(folder):
    """Serves `folder` on a free loopback port and returns its address."""
    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def composition(media):
    """A video, an image, two texts and music: eight seconds."""
    return {
        "width": 1280, "height": 720, "duration": 8, "output_format": "mp4", "output_filename": "first-light",
        "background_color": "#101418",
        "elements": [
            {"type": "video", "id": "clip", "source_url": f"{media}/clip.mp4", "out_point": 6, "volume": 20,
             "fade_out_duration": 1},
            {"type": "image", "id": "photo", "source_url": f"{media}/photo.jpg", "time": 4.5, "duration": 3.5,
             "x": "72%", "y": "42%", "width": "44%", "height": "56%", "z_rotation": "-4deg", "z_index": 1},
            {"type": "text", "id": "title", "text": "First light ✨🎬", "time": 0.5, "duration": 7, "y": "82%",
             "height": "20%", "font_size": 72, "font_weight": 700, "z_index": 2},
            {"type": "text", "id": "arabic", "text": "مرحبا بالعالم", "time": 1.5, "duration": 6, "y": "15%",
             "height": "20%", "font_family": "Noto Sans Arabic", "font_size": 64, "text_color": "#ffd54a", "z_index": 2},
            {"type": "audio", "id": "music", "source_url": f"{media}/music.m4a", "out_point": 8, "volume": 80,
             "fade_in_duration": 0.5, "fade_out_duration": 2},
        ],
        "metadata": {"made_by": "make demo"},
    }


def free_port():
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_service(port, key, log):
    """Starts the embedded service and waits until it is ready."""
    environment = dict(os.environ, FRAMELANE_API_KEY=key, FRAMELANE_ALLOW_NETWORKS="127.0.0.0/8")
    command = [os.path.join(ROOT, "target", "debug", "framelane"), "serve", "--listen", f"127.0.0.1:{port}",
               "--data-dir", os.path.join(FOLDER, "data")]
    service = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    for _ in range(300):
        if service.poll() is not None:
            sys.exit(f"demo: the service stopped at once; its log is {log.name}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return service
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    service.kill()
    sys.exit(f"demo: the service was not ready within 15 s; its log is {log.name}")


def call(address, key, body=None):
    """One request of the API; its answer as data."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data, headers), timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        sys.exit(f"demo: {address} answered {refusal.code}: {refusal.read().decode()}")


def watch(address, key):
    """Shows the job's progress until it is terminal."""
    shown = None
    while True:
        job = call(address, key)
        line = (job["status"], job["progress_percent"], job.get("progress_stage"))
        if line != shown:
            bar = "█" * (job["progress_percent"] // 4)
            print(f"  {job['status']:<11} {bar:<25} {job['progress_percent']:3d} %  {job.get('progress_stage') or ''}", flush=True)
            shown = line
        if job["status"] in ("completed", "failed", "cancelled"):
            return job
        time.sleep(0.2)


def main():
    os.makedirs(FOLDER, exist_ok=True)
    print("demo: making a clip, a photograph and a tune", flush=True)
    media_folder = os.path.join(FOLDER, "media")
    make.make(media_folder, ["clip.mp4", "photo.jpg", "music.m4a"])
    media = serve_media(media_folder)

    key, port = "fl_live_" + secrets.token_hex(16), free_port()
    with open(os.path.join(FOLDER, "service.log"), "w", encoding="utf-8") as log:
        started = time.monotonic()
        service = start_service(port, key, log)
        try:
            api = f"http://127.0.0.1:{port}/v1/renders"
            print(f"demo: POST {api}", flush=True)
            job = call(api, key, composition(media))
            print(f"demo: accepted as {job['id']}", flush=True)
            job = watch(f"{api}/{job['id']}", key)
            if job["status"] != "completed":
                sys.exit(f"demo: the job {job['status']}: {json.dumps(job.get('error'))}; the log is {log.name}")
            film = os.path.join(FOLDER, "first-light.mp4")
            urllib.request.urlretrieve(job["output"]["url"], film)
            seconds = time.monotonic() - started
        finally:
            service.send_signal(signal.SIGTERM)
            try:
                service.wait(20)
            except subprocess.TimeoutExpired:
                service.kill()
    output = job["output"]
    print(f"demo: {output['width']}×{output['height']}, {output['duration']} s, {output['frame_count']} frames, "
          f"{output['size_bytes'] / 1e6:.1f} MB, {seconds:.1f} s after the service's start")
    print("Try next: ./target/debug/framelane serve          the service, on http://127.0.0.1:8080")
    print("          ./target/debug/framelane render --help  the same engine without a server")
    print("          README.md                                the first request with curl")
    print(film, flush=True)


if __name__ == "__main__":
    main()
