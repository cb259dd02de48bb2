//! The AsyncAPI 3.0 document: what the service sends by itself, at NATS and to webhooks.
//!
//! ```text
//! events::public_event, events::cloud_event ─▶ channel events   ─┐
//! Endpoints (hooks)                         ─▶ channel webhooks ─┴─▶ document() ─▶ /asyncapi.json
//! ```
//! Made from what the events are written from and signed with, as [`crate::openapi`] is from the handlers. Its schemas are
//! JSON Schema draft 7, which is AsyncAPI's own.

use events::cloud_event;
use events::public_event::{self, Described, PublicEvent};
use serde_json::{Map, Value, json};

use crate::endpoints::Endpoints;
use crate::hook::Hook;
use crate::openapi::{Info, SIGNATURES, Writer};

/// What everybody should know first.
const INTRODUCTION: &str = "\
What the service sends by itself. At NATS every public event lies on the JetStream stream `EVENTS`, in the order of the log, \
where the installation has NATS and publishes there (`--nats-url`, `--nats-events`); webhooks go to endpoints and to jobs' \
`webhook_url`.

- Doubles are known by the event's id.
- The stream is a copy: it holds 7 days at most, and may be deleted at any moment. Whoever has missed something reads \
`GET /v1/events?after=` the position of the last event seen.
- New types, headers and fields may come; ignore those that you don't know.";

/// The channel of events at NATS.
const EVENTS: &str = "events";
/// The channel of webhooks.
const WEBHOOKS: &str = "webhooks";

/// The document of these webhooks, and of the events at NATS.
///
/// # Panics
/// Where two schemas have one name. The tests of the executable make this document.
#[must_use]
pub fn document(info: Info<'_>, endpoints: &Endpoints) -> Value {
    let mut writer = Writer::of_draft_7();
    let events: Map<String, Value> = {
        let described = public_event::described(writer.generator());
        described
            .into_iter()
            .map(|event| (event.event_type.to_owned(), message(&mut writer, event)))
            .collect()
    };
    let hooks: Map<String, Value> = endpoints
        .hooks
        .iter()
        .map(|hook| (format!("webhook.{}", hook.name), hook_message(&mut writer, hook)))
        .collect();
    let (of_events, of_hooks) = (names(&events), names(&hooks));
    let mut schemas = writer.schemas();
    schemas.insert("EventHeaders".to_owned(), headers(cloud_event::HEADERS));
    schemas.insert("WebhookHeaders".to_owned(), headers(SIGNATURES));
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Framelane",
            "version": info.version,
            "description": INTRODUCTION,
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": {
            EVENTS: events_channel(&of_events),
            WEBHOOKS: {
                "address": null,
                "title": "Webhooks",
                "description": "An endpoint of the workspace, or the job's `webhook_url`.",
                "servers": [{ "$ref": "#/servers/receiver" }],
                "messages": referred(&of_hooks),
            },
        },
        "operations": {
            "publish_events": operation(EVENTS, &of_events, "Publishes what happens, once each, in the log's order"),
            "post_webhooks": post(operation(WEBHOOKS, &of_hooks, "Posts until it is answered 2xx, or for a day")),
        },
        "components": {
            "schemas": schemas,
            "messages": events.into_iter().chain(hooks).collect::<Map<_, _>>(),
        },
    })
}

fn servers() -> Value {
    json!({
        "nats": {
            "host": "{host}",
            "protocol": "nats",
            "description": "The installation's NATS server; its JetStream has the stream `EVENTS`.",
            "variables": { "host": { "default": "127.0.0.1:4222", "description": "Host and port." } },
        },
        "receiver": {
            "host": "{host}",
            "protocol": "https",
            "description": "The host that a webhook goes to.",
            "variables": { "host": { "default": "receiver.example", "description": "Host, and port where it is not the usual one." } },
        },
    })
}

fn events_channel(names: &[String]) -> Value {
    json!({
        "address": cloud_event::ADDRESS,
        "title": "Events",
        "description": "A type is two tokens of the subject: `framelane.events.*.*.render.completed` are the ends of all jobs, \
            `framelane.events.*.<render>.>` is all of one job, `framelane.events.<workspace>.>` all of a workspace.",
        "servers": [{ "$ref": "#/servers/nats" }],
        "parameters": {
            "workspace": { "description": "Whose it is: `ws_…`." },
            "render": { "description": "The job: `render_…`." },
            "type": { "description": "The event's type.", "enum": public_event::TYPES },
        },
        "messages": referred(names),
    })
}

fn names(messages: &Map<String, Value>) -> Vec<String> {
    messages.keys().cloned().collect()
}

/// Messages of a channel, by name.
fn referred(names: &[String]) -> Value {
    let message = |name: &String| (name.clone(), json!({ "$ref": format!("#/components/messages/{name}") }));
    Value::Object(names.iter().map(message).collect())
}

fn operation(channel: &str, names: &[String], summary: &str) -> Value {
    let message = |name: &String| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") });
    json!({
        "action": "send",
        "channel": { "$ref": format!("#/channels/{channel}") },
        "summary": summary,
        "messages": names.iter().map(message).collect::<Vec<_>>(),
    })
}

fn post(mut operation: Value) -> Value {
    operation["bindings"] = json!({ "http": { "method": "POST", "bindingVersion": "0.3.0" } });
    operation
}

/// A message of this type of event: the event, with what the type says of `type` and `data`.
fn message(writer: &mut Writer, event: Described) -> Value {
    let Described { event_type, summary, data } = event;
    let any = writer.generator().subschema_for::<PublicEvent>();
    json!({
        "name": event_type,
        "title": event_type,
        "summary": summary,
        "contentType": "application/json",
        "headers": { "$ref": "#/components/schemas/EventHeaders" },
        "payload": { "allOf": [any, { "properties": { "type": { "const": event_type }, "data": data } }] },
    })
}

fn hook_message(writer: &mut Writer, hook: &Hook) -> Value {
    json!({
        "name": hook.name,
        "title": format!("Webhook {}", hook.name),
        "summary": hook.summary,
        "description": hook.text,
        "contentType": "application/json",
        "headers": { "$ref": "#/components/schemas/WebhookHeaders" },
        "payload": { "allOf": [writer.shape(&hook.body), { "properties": { "type": { "const": hook.name } } }] },
    })
}

/// Headers that are always there.
fn headers(headers: &[(&str, &str)]) -> Value {
    let property =
        |(name, text): &(&str, &str)| ((*name).to_owned(), json!({ "type": "string", "description": text }));
    json!({
        "type": "object",
        "properties": headers.iter().map(property).collect::<Map<_, _>>(),
        "required": headers.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use events::RenderId;

    use super::*;
    use crate::operation::Shape;

    fn written() -> Value {
        let hook = Hook::new("render.completed", "A film is ready", "", Shape::of::<RenderId>());
        document(Info { version: "1", server_url: "http://here", text: "" }, &Endpoints::new().sends(hook))
    }

    /// Every `$ref` of a document.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let (document, mut found) = (written(), BTreeSet::new());
        references(&document, &mut found);
        assert!(found.len() > 40, "this test must see the references, it saw {}", found.len());
        for reference in found {
            let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
            assert!(target.is_some(), "{reference} leads nowhere");
        }
    }

    #[test]
    fn every_type_of_event_is_a_message_that_says_what_it_holds() {
        let document = written();
        for event_type in public_event::TYPES {
            let message = &document["channels"][EVENTS]["messages"][event_type]["$ref"];
            assert_eq!(*message, format!("#/components/messages/{event_type}"));
            let message = &document["components"]["messages"][event_type];
            let own = &message["payload"]["allOf"][1]["properties"];
            assert_eq!(own["type"]["const"], *event_type);
            let data = own["data"]["$ref"].as_str().and_then(|pointer| document.pointer(&pointer[1..]));
            assert_eq!(data.expect("a schema of its own")["type"], "object", "{event_type}");
        }
        let required = document["components"]["schemas"]["EventHeaders"]["required"].clone();
        assert!(required.as_array().is_some_and(|names| names.contains(&json!("ce-id"))), "{required}");
        assert!(
            document["components"]["messages"]["webhook.render.completed"].is_object(),
            "and every webhook"
        );
    }
}
