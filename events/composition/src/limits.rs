//! The limits on what one request may ask for, in one table.
//!
//! Ranges of single fields are part of the contract and live in [`crate::schema`]; these are the installation's own.

use serde::Serialize;

use crate::composition::Size;
use crate::time::{FrameRate, Ticks};

/// The most macroblocks (16×16) in one H.264 frame at level 5.2: ITU-T H.264 table A-1, MaxFS.
pub const H264_MACROBLOCKS_MAX: u64 = 36_864;

/// What an installation takes. The field names are what messages and `GET /v1/capabilities` call them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limits {
    /// Bytes of a request's body; beyond: 413.
    pub body_bytes_max: usize,
    /// Seconds of film.
    pub duration_s_max: u32,
    /// Pixels of one frame: 7680×4320.
    pub frame_pixels_max: u64,
    /// Pixels of a whole job: pixels of a frame times frames.
    pub job_pixels_max: u64,
    /// Elements, those inside compositions included.
    pub elements_max: usize,
    /// Entries of any other list: effects, motions, transitions, words, keyframes.
    pub list_entries_max: usize,
    /// Compositions inside each other.
    pub nesting_max: usize,
    /// Keys in `metadata`.
    pub metadata_keys_max: usize,
    /// Characters of a key or value in `metadata`.
    pub metadata_chars_max: usize,
    /// Characters of one `text`.
    pub text_chars_max: usize,
    /// Canvas pixels per em.
    pub font_size_max: f64,
    /// The largest magnitude of a number that has no narrower range: pixels, percent, degrees, seconds. It keeps
    /// every later sum finite.
    pub magnitude_max: f64,
    /// Problems named in one answer; more are counted.
    pub problems_max: usize,
    /// Warnings kept with one job; more are counted.
    pub warnings_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes_max: 5 * 1024 * 1024,
            duration_s_max: 2 * 60 * 60,
            frame_pixels_max: 7680 * 4320,
            job_pixels_max: 1_000_000_000_000,
            elements_max: 1000,
            list_entries_max: 10_000,
            nesting_max: 8,
            metadata_keys_max: 50,
            metadata_chars_max: 500,
            text_chars_max: 100_000,
            font_size_max: 10_000.0,
            magnitude_max: 1_000_000.0,
            problems_max: 1000,
            warnings_max: 100,
        }
    }
}

/// A limit that a film breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// The field of [`Limits`].
    pub limit: &'static str,
    /// The request's field that breaks it.
    pub field: &'static str,
    /// How much was asked for and how much is allowed.
    pub message: String,
}

impl Limits {
    /// What a film of this size and length breaks. `duration` is `None` where only the sources give it: whoever
    /// learns it then asks again.
    #[must_use]
    pub fn exceeded_by(
        &self,
        canvas: Size,
        frame_rate: FrameRate,
        duration: Option<Ticks>,
        still: bool,
    ) -> Vec<Exceeded> {
        let frame = u64::from(canvas.width) * u64::from(canvas.height);
        let frames = if still { 1 } else { duration.map_or(1, |duration| frame_rate.frames_in(duration)) };
        let job = u128::from(frame) * u128::from(frames);
        let mut exceeded = Vec::new();
        if frame > self.frame_pixels_max {
            let max = self.frame_pixels_max;
            let message = format!(
                "{}x{} is {frame} pixels a frame; the limit frame_pixels_max is {max}",
                canvas.width, canvas.height
            );
            exceeded.push(Exceeded { limit: "frame_pixels_max", field: "width", message });
        }
        if let Some(duration) = duration.filter(|d| *d > Ticks::from_ratio(i64::from(self.duration_s_max), 1))
        {
            let (asked, max) = (duration.seconds(), self.duration_s_max);
            let message = format!("the film lasts {asked} s; the limit duration_s_max is {max} s");
            exceeded.push(Exceeded { limit: "duration_s_max", field: "duration", message });
        }
        if job > u128::from(self.job_pixels_max) {
            let max = self.job_pixels_max;
            let message = format!(
                "{frames} frames of {}x{} are {job} pixels; the limit job_pixels_max is {max}",
                canvas.width, canvas.height
            );
            exceeded.push(Exceeded { limit: "job_pixels_max", field: "duration", message });
        }
        exceeded
    }
}
