//! What the bodies of `POST /v1/tasks/…` may hold.

use super::kind::{Kind, Range};
use super::{Group, Schema, field};
use crate::catalog::{CUTOUT_FORMATS, SPEECH_MODELS};

/// All tasks.
pub const COMMON: Group = Group {
    name: "common",
    fields: &[
        field("source_url", Kind::Url).required().missing(),
        field("metadata", Kind::Metadata).empty_map().missing(),
        field("webhook_url", Kind::Endpoint).missing(),
    ],
};

/// Every task, by its path's last part.
pub static TASK_SCHEMAS: &[&Schema] = &[&REMOVE_BACKGROUND, &GAZE_REDIRECT, &SUPER_RESOLUTION, &TRANSCRIBE];

static REMOVE_BACKGROUND: Schema = Schema {
    name: "remove-background",
    own: &[field("output_format", Kind::Choice(&CUTOUT_FORMATS)).missing()],
    groups: &[COMMON],
};

static GAZE_REDIRECT: Schema = Schema {
    name: "gaze-redirect",
    own: &[field("intensity", Kind::Number(Range::of(0.0, 1.0))).number(1.0).missing()],
    groups: &[COMMON],
};

static SUPER_RESOLUTION: Schema = Schema {
    name: "super-resolution",
    own: &[field("scale", Kind::Number(Range::of(1.0, 4.0))).number(2.0).missing()],
    groups: &[COMMON],
};

static TRANSCRIBE: Schema = Schema {
    name: "transcribe",
    own: &[
        field("language", Kind::Text(0)).missing(),
        field("speech_model", Kind::Choice(&SPEECH_MODELS)).text("universal-2").missing(),
        field("word_timings", Kind::Boolean).flag(true).missing(),
        field("speaker_labels", Kind::Boolean).flag(false).missing(),
        field("speakers_expected", Kind::Integer(Range::of(1.0, 10.0))).missing(),
        field("sentiment_analysis", Kind::Boolean).flag(false).missing(),
        field("entity_detection", Kind::Boolean).flag(false).missing(),
        field("auto_highlights", Kind::Boolean).flag(false).missing(),
        field("content_safety", Kind::Boolean).flag(false).missing(),
        field("iab_categories", Kind::Boolean).flag(false).missing(),
        field("word_boost", Kind::Strings(200)).empty_list().missing(),
    ],
    groups: &[COMMON],
};
