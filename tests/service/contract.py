"""The contract as strangers read it: is the document valid, do its examples keep to it, does a generated client work?

Usage: contract.py ADDRESS KEY FOLDER. Everything generated goes below FOLDER. Prints the film's path.
"""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from jsonschema import Draft7Validator, Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

ADDRESS, KEY, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])


def examples_keep_to_the_document(document):
    """Every example of a body is what its schema says."""
    count = 0
    for methods in document["paths"].values():
        for operation in methods.values():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            # References are into the whole document, so that is the schema's root.
            schema = {**body.get("schema", {}), "components": document["components"]}
            for example in body.get("examples", {}).values():
                Draft202012Validator(schema).validate(example["value"])
                count += 1
    assert count >= 3, f"this test must see the examples, it saw {count}"


def generate(document):
    """A Python client, made of nothing but the document; a warning is a fault of the document."""
    path = FOLDER / "openapi.json"
    path.write_text(json.dumps(document))
    command = [str(Path(sys.executable).parent / "openapi-python-client"), "generate", "--fail-on-warning"]
    command += ["--path", str(path), "--output-path", str(FOLDER / "framelane_client"), "--meta", "none"]
    config = FOLDER / "client.json"
    # Formatting what nobody reads takes longer than generating it.
    config.write_text(json.dumps({"post_hooks": []}))
    subprocess.run([*command, "--config", str(config)], check=True, capture_output=True)
    sys.path.insert(0, str(FOLDER))


def a_generated_client_works():
    """Submits, polls, downloads: as a stranger would who has only the document."""
    from framelane_client import AuthenticatedClient
    from framelane_client.api.renders import download_render, get_render, list_renders, submit_render
    from framelane_client.models import Job, JobStatus, RenderRequest, TextElement

    client = AuthenticatedClient(base_url=ADDRESS, token=KEY, timeout=90)
    title = TextElement(type_="text", text="Generated", duration=0.5, font_size=48)
    request = RenderRequest(width=320, height=180, duration=0.5, elements=[title])
    job = submit_render.sync(client=client, body=request, idempotency_key="generated-client")
    assert isinstance(job, Job), job
    again = submit_render.sync_detailed(client=client, body=request, idempotency_key="generated-client")
    assert (again.status_code, again.parsed.id) == (200, job.id), again
    deadline = time.monotonic() + 120
    while job.status not in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED):
        assert time.monotonic() < deadline, job
        job = get_render.sync(id=job.id, client=client, wait=30)
    assert job.status is JobStatus.COMPLETED, job
    listed = list_renders.sync(client=client, status=JobStatus.COMPLETED, limit=1)
    assert [entry.id for entry in listed.data] == [job.id], listed
    redirect = download_render.sync_detailed(id=job.id, client=client)
    assert redirect.status_code == 302, redirect
    with urllib.request.urlopen(redirect.headers["location"]) as answer:
        film = answer.read()
    assert len(film) == job.output.size_bytes, (len(film), job.output)
    path = FOLDER / "generated.mp4"
    path.write_bytes(film)
    print(path)
    return job.id


def what_is_sent_keeps_to_its_document(render):
    """Every event of a real job is what its message in the AsyncAPI document says."""
    with urllib.request.urlopen(f"{ADDRESS}/asyncapi.json") as answer:
        document = json.load(answer)
    assert document["asyncapi"] == "3.0.0", document["asyncapi"]
    for schema in document["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)
    request = urllib.request.Request(f"{ADDRESS}/v1/renders/{render}/events", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request) as answer:
        events = json.load(answer)["data"]
    assert len({event["type"] for event in events}) > 5, f"this test must see many types of events: {events}"
    for event in events:
        payload = document["components"]["messages"][event["type"]]["payload"]
        # References are into the whole document, so that is the schema's root.
        Draft7Validator({**payload, "components": document["components"]}).validate(event)
        other = "render.failed" if event["type"] != "render.failed" else "render.queued"
        assert not Draft7Validator({**payload, "components": document["components"]}).is_valid({**event, "type": other})


def main():
    with urllib.request.urlopen(f"{ADDRESS}/openapi.json") as answer:
        document = json.load(answer)
    OpenAPIV31SpecValidator(document).validate()
    examples_keep_to_the_document(document)
    generate(document)
    what_is_sent_keeps_to_its_document(a_generated_client_works())


main()
