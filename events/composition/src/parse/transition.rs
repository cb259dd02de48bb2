//! Transitions: each entry by its schema, and the elements it names.

use std::collections::BTreeMap;

use serde_json::Value;

use super::reader::Reader;
use super::report::quoted;
use crate::catalog;
use crate::problem::ProblemCode;
use crate::schema::animation::TRANSITION;

/// How many elements of one list have each id.
pub(super) type Ids = BTreeMap<String, usize>;

/// Checks the `transitions` beside a list of elements.
pub(super) fn check(owner: &mut Reader<'_, '_, '_>) {
    let ids = ids_of(owner.given("elements"));
    for (path, value) in owner.entries("transitions") {
        let Some(mut transition) = Reader::open(&TRANSITION, value, path, owner.report) else { continue };
        if transition.known_word("type").is_some_and(|name| !catalog::TRANSITIONS.is_available(name)) {
            transition.mute();
        }
        let from: Option<String> = transition.optional("from_id");
        let to: Option<String> = transition.optional("to_id");
        if from.is_some() && from == to {
            let message =
                format!("from_id and to_id are both {}; name two elements", quoted(&to.unwrap_or_default()));
            transition.problem("to_id", ProblemCode::TransitionSelf, message);
        } else {
            for (field, id) in [("from_id", from), ("to_id", to)] {
                if let Some(id) = id {
                    named(&mut transition, field, &id, &ids);
                }
            }
        }
        transition.finish();
    }
}

/// The id must be one element's.
fn named(transition: &mut Reader<'_, '_, '_>, field: &str, id: &str, ids: &Ids) {
    let given = quoted(id);
    match ids.get(id).copied().unwrap_or(0) {
        0 => {
            let near = transition.report.hint(id, ids.keys().map(String::as_str));
            let message = format!("{field} is {given}, which is no element's id{near}");
            transition.problem(field, ProblemCode::DanglingTransition, message);
        }
        1 => {}
        several => {
            let message = format!("{field} is {given}, the id of {several} elements; give each its own");
            transition.problem(field, ProblemCode::DuplicateElementId, message);
        }
    }
}

/// Counted from the document itself, so that an element's own faults do not make its id unknown.
fn ids_of(elements: Option<&Value>) -> Ids {
    let mut ids = Ids::new();
    for element in elements.and_then(Value::as_array).into_iter().flatten() {
        if let Some(id) = element.get("id").and_then(Value::as_str) {
            *ids.entry(id.to_owned()).or_default() += 1;
        }
    }
    ids
}
