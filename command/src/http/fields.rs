//! The fields of a small JSON body: read one by one, with all faults told at once, and what nobody asked for named.

use std::ops::RangeInclusive;

use api::{ApiError, Detail};
use events::render::SubmissionWarning;
use serde_json::{Map, Value};

/// A body's fields, as far as they have not been read yet.
#[derive(Debug)]
pub(super) struct Fields {
    fields: Map<String, Value>,
    known: Vec<&'static str>,
    faults: Vec<Detail>,
}

impl Fields {
    /// The fields of a body.
    ///
    /// # Errors
    /// 422 where it is no object; `example` is one of its fields.
    pub(super) fn of(body: Value, example: &'static str) -> Result<Fields, ApiError> {
        match body {
            Value::Object(fields) => Ok(Fields { fields, known: Vec::new(), faults: Vec::new() }),
            other => {
                let message =
                    format!("the body is {}; an object with fields like this one is expected", kind(&other));
                Err(Detail::new(format!("/{example}"), "wrong_type", message).into())
            }
        }
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.fields.remove(name)
    }

    fn fault<T>(&mut self, name: &str, code: &str, message: String) -> Option<T> {
        self.faults.push(Detail::new(format!("/{name}"), code, message));
        None
    }

    /// A name for people: 1 to `chars_max` characters without control characters.
    pub(super) fn name(&mut self, name: &'static str, chars_max: usize) -> Option<String> {
        let text = match self.take(name)? {
            Value::String(text) => text,
            other => {
                return self.fault(
                    name,
                    "wrong_type",
                    format!("it is {}; a string is expected", kind(&other)),
                );
            }
        };
        let chars = text.chars().count();
        if !(1..=chars_max).contains(&chars) {
            return self.fault(
                name,
                "out_of_range",
                format!("it has {chars} characters; allowed are 1 to {chars_max}"),
            );
        }
        if text.chars().any(char::is_control) {
            return self.fault(name, "malformed_value", "it holds control characters".to_owned());
        }
        Some(text)
    }

    /// The same, where it must be there.
    pub(super) fn required_name(&mut self, name: &'static str, chars_max: usize) -> Option<String> {
        if self.fields.contains_key(name) {
            return self.name(name, chars_max);
        }
        self.known.push(name);
        self.fault(name, "missing_field", "it is required".to_owned())
    }

    /// A whole number in a range, or `null`.
    pub(super) fn number_or_null(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u32>,
    ) -> Option<Option<u32>> {
        let value = self.take(name)?;
        if value.is_null() {
            return Some(None);
        }
        let number = value
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| range.contains(number));
        match number {
            Some(number) => Some(Some(number)),
            None => {
                let (least, most) = (range.start(), range.end());
                let code = if value.is_number() { "out_of_range" } else { "wrong_type" };
                self.fault(
                    name,
                    code,
                    format!(
                        "it is {}; a whole number from {least} to {most} or null is expected",
                        kind(&value)
                    ),
                )
            }
        }
    }

    /// A field that is read elsewhere.
    pub(super) fn value(&mut self, name: &'static str) -> Option<Value> {
        self.take(name)
    }

    /// Whether anything has been found wrong.
    pub(super) fn is_faulty(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Adds what somebody else found wrong.
    pub(super) fn add_faults(&mut self, faults: impl IntoIterator<Item = Detail>) {
        self.faults.extend(faults);
    }

    /// What was not asked for, each with the known field it may have meant.
    ///
    /// # Errors
    /// 422 with all faults, where there are any.
    pub(super) fn finish(self) -> Result<Vec<SubmissionWarning>, ApiError> {
        let Fields { fields, known, faults } = self;
        if !faults.is_empty() {
            return Err(ApiError::invalid_request(faults));
        }
        let unknown = fields.keys().map(|name| {
            let meant = composition::nearest(name, known.iter().copied());
            let hint = meant.map(|meant| format!(" (did you mean {meant:?}?)")).unwrap_or_default();
            let shown: String = name.chars().take(64).collect();
            SubmissionWarning {
                code: "unknown_field".to_owned(),
                message: format!("{shown:?} is no field of this request and is ignored{hint}"),
                severity: "warning".to_owned(),
                path: format!("/{}", shown.replace('~', "~0").replace('/', "~1")),
            }
        });
        Ok(unknown.collect())
    }
}

/// What a value is, for people.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
