//! What this installation can do. Open to everyone: it says nothing of anybody's data.

use api::{Answer, Operation};
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::http::QueryState;

pub(crate) fn tell_operation() -> Operation {
    let named = json!({ "type": "array", "items": {
        "type": "object", "required": ["name", "supported"],
        "properties": { "name": { "type": "string" }, "supported": { "type": "boolean" } },
    } });
    let chapter =
        |list: &str| json!({ "type": "object", "required": [list], "properties": { (list): named } });
    let fields = json!({
        "type": "object",
        "description": "Fields by name: type, default, range, and whether this version carries them out.",
        "additionalProperties": {
            "type": "object", "required": ["type", "required", "supported"],
            "properties": {
                "type": { "type": "string" }, "required": { "type": "boolean" }, "supported": { "type": "boolean" },
            },
        },
    });
    let shape = json!({
        "type": "object",
        "required": ["contract_version", "request", "output_formats", "element_types", "effects", "limits", "service_limits"],
        "properties": {
            "contract_version": { "type": "integer" },
            "request": fields, "output": fields, "outputs_entry": fields,
            "output_formats": named, "element_types": named, "blend_modes": named, "easings": named, "fits": named,
            "font_styles": named, "text_aligns": named, "vertical_aligns": named, "text_decorations": named,
            "text_wraps": named, "tasks": named,
            "effects": chapter("types"), "motions": chapter("types"), "transitions": chapter("types"),
            "captions": chapter("styles"), "keyframes": chapter("easings"),
            "service_limits": { "type": "object", "additionalProperties": { "type": ["number", "object", "null"] } },
            "limits": { "type": "object", "additionalProperties": { "type": "number" } },
        },
    });
    Operation::get("/v1/capabilities", "get_capabilities", "What this installation can do")
        .tag("Service")
        .text(
            "Every effect, motion, transition, blend mode, easing, caption style, format, element type and field, each with \
             `supported`; codecs, ranges and limits. Made from the tables that requests are read by.",
        )
        .keyless()
        .answers(Answer::empty(200, "All of it.").or_as("application/json", shape))
}

/// `GET /v1/capabilities`.
pub(crate) async fn tell(State(state): State<QueryState>) -> Json<Value> {
    Json(state.capabilities.clone())
}
