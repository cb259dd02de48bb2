#!/usr/bin/env python3
"""The service on several processes, on this machine: PostgreSQL and NATS of its own; two that take requests, one that
answers and passes on to them what it does not answer, one that projects and sends webhooks, two workers.

    make cluster            starts all of it, shows where it answers, and stops all of it at Ctrl-C
    tests/cluster.py --try  the same, renders one film with it, and ends

Everything lies in ./cluster; the next start finds the log and the films again.
"""

import glob
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import demo

FOLDER = os.path.join(demo.ROOT, "cluster")
BINARY = os.path.join(demo.ROOT, "target", "debug", "framelane")
FILM = {"width": 640, "height": 360, "duration": 12, "elements": [
    {"type": "text", "text": "One film, many hands", "duration": 12, "font_size": 48,
     "x": {"keyframes": [{"time": 0, "value": "20%"}, {"time": 12, "value": "80%"}]}}]}


class Cluster:
    """The processes, in the order in which they were started."""

    def __init__(self):
        self.processes = []

    def start(self, name, command, **more):
        """Starts a process whose output goes to FOLDER/NAME.log."""
        with open(os.path.join(FOLDER, name + ".log"), "ab") as log:
            self.processes.append((name, subprocess.Popen(command, stdout=log, stderr=log, **more)))

    def stop(self):
        """Stops what was started last first, so that workers hand back what they hold."""
        for _, process in reversed(self.processes):
            process.send_signal(signal.SIGINT if process is self.processes[0][1] else signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()

    def check(self):
        """Ends with the name of the process that has ended, if one has."""
        for name, process in self.processes:
            if process.poll() is not None:
                sys.exit(f"cluster: {name} has ended: see {os.path.join(FOLDER, name + '.log')}")


def as_nobody_special():
    """PostgreSQL refuses to run as root: there it runs as its package's own user."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid}


def start_postgres(cluster):
    """A server with its data in ./cluster/postgres; the address of its database."""
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not programs:
        sys.exit("cluster: PostgreSQL is not installed: make setup-test")
    data, port, who = os.path.join(FOLDER, "postgres"), demo.free_port(), as_nobody_special()
    if not os.path.exists(os.path.join(data, "PG_VERSION")):
        os.makedirs(data, exist_ok=True)
        if who:
            os.chown(data, who["user"], who["group"])
        made = [os.path.join(programs[-1], "initdb"), "-D", data, "-U", "framelane", "-A", "trust", "-E", "UTF8", "--no-locale"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd="/", **who)
    cluster.start("postgres", [os.path.join(programs[-1], "postgres"), "-D", data, "-p", str(port), "-c",
                               "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="], cwd="/", **who)
    ready = [os.path.join(programs[-1], "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    wait("PostgreSQL", cluster, lambda: subprocess.run(ready, check=False).returncode == 0)
    return f"postgres://framelane@127.0.0.1:{port}/postgres"


def start_nats(cluster):
    """A server that keeps events for subscribers; its address."""
    server = shutil.which("nats-server") or "/usr/sbin/nats-server"
    port = demo.free_port()
    cluster.start("nats", [server, "--addr", "127.0.0.1", "--port", str(port), "--jetstream",
                           "--store_dir", os.path.join(FOLDER, "nats")])
    return f"nats://127.0.0.1:{port}"


def wait(what, cluster, holds):
    """Waits until something holds, for a minute at most."""
    for _ in range(600):
        cluster.check()
        if holds():
            return
        time.sleep(0.1)
    sys.exit(f"cluster: {what} is not ready after a minute: see {FOLDER}")


def answers(address):
    """Whether a process says that it is ready."""
    try:
        with urllib.request.urlopen(address + "/readyz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def start_framelane(cluster, name, options, key, port=None):
    """One process of the service; its address."""
    port = port or demo.free_port()
    environment = dict(os.environ, FRAMELANE_API_KEY=key, FRAMELANE_OBJECTS=os.path.join(FOLDER, "objects"),
                       FRAMELANE_MASTER_KEY=os.path.join(FOLDER, "master.key"))
    command = [BINARY, "serve", "--listen", f"127.0.0.1:{port}", "--data-dir", os.path.join(FOLDER, name)]
    cluster.start(name, command + options, env=environment)
    address = f"http://127.0.0.1:{port}"
    wait(name, cluster, lambda: answers(address))
    return address


def render(address, key):
    """Renders one film and shows which worker had which share of it."""
    def call(method, path, body=None):
        request = urllib.request.Request(address + path, method=method, data=body and json.dumps(body).encode(),
                                         headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=90) as answer:
            return json.load(answer)

    job = call("POST", "/v1/renders", FILM)
    while job["status"] not in ("completed", "failed", "cancelled"):
        job = call("GET", f"/v1/renders/{job['id']}?wait=30")
    if job["status"] != "completed":
        sys.exit(f"cluster: the film failed: {job['error']}")
    print(f"cluster: rendered {job['output']['frame_count']} frames, sha256 {job['output']['sha256']}")


def main():
    """Starts everything, and stops it in the end."""
    os.makedirs(FOLDER, exist_ok=True)
    key, cluster = "fl_live_of_the_local_cluster", Cluster()
    try:
        database, nats = start_postgres(cluster), start_nats(cluster)
        time.sleep(0.5)
        entrance = demo.free_port()
        shared = ["--database-url", database, "--nats-url", nats, "--public-url", f"http://127.0.0.1:{entrance}"]
        commands = [start_framelane(cluster, f"command-{number}", ["--roles", "command"] + shared, key) for number in (1, 2)]
        start_framelane(cluster, "projector", ["--roles", "projector,webhooks"] + shared, key)
        query = start_framelane(cluster, "query", ["--roles", "query", "--forward-to", ",".join(commands)] + shared, key, entrance)
        for number in (1, 2):
            start_framelane(cluster, f"worker-{number}", ["--roles", "worker", "--slots", "1", "--nats-url", nats], key)
        print(f"cluster: {query} with the key {key}; its contract at {query}/docs; logs in {FOLDER}", flush=True)
        if "--try" in sys.argv:
            render(query, key)
            return
        print("cluster: Ctrl-C stops all of it", flush=True)
        while True:
            cluster.check()
            time.sleep(1)
    except KeyboardInterrupt:
        print("\ncluster: stopping")
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
