//! A trial run of an engine: a tiny film is drawn, encoded, read back and looked at. Whoever runs it knows that GPU,
//! fonts, encoders, muxer and decoder work together here; no media but our own are needed.

use std::io;
use std::path::{Path, PathBuf};

use composition::{Composition, ParseOptions};
use media::decoder::DecodeError;
use serde_json::{Value, json};
use thiserror::Error;

use crate::control::Control;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::local;

/// The colour of the film, as red, green and blue.
const COLOR: [u8; 3] = [200, 40, 40];

/// How far a sample may be from it after one encoding at the usual quality.
const TOLERANCE: u8 = 24;

/// Sound for the film: samples a second, and how many.
const RATE: u32 = 48_000;
const SAMPLES: u32 = 24_000;

/// What a trial film went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// Frames drawn and encoded.
    pub frames: u64,
    /// Bytes of the film.
    pub size_bytes: u64,
}

/// Where the trial ended.
#[derive(Debug, Error)]
pub enum TrialError {
    /// The film was not made.
    #[error("draw and encode a film")]
    Making(#[source] Failure),
    /// The film can't be read again.
    #[error("read the film that was just made")]
    Reading(#[source] Failure),
    /// The picture made of it can't be read.
    #[error("read a picture of the film")]
    Picture(#[source] DecodeError),
    /// It shows something else than was asked for.
    #[error("draw what was asked for: a film of the colour {COLOR:?} shows {shown:?}")]
    WrongColor {
        /// The sample in the corner.
        shown: [u8; 3],
    },
    /// Files.
    #[error("keep the film at {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Runs the trial; its files are made in `folder`, and stay there for whoever wants to look.
///
/// # Errors
/// [`TrialError`], where it went wrong.
pub fn run(engine: &Engine, folder: &Path) -> Result<Trial, TrialError> {
    let sound = folder.join("trial.wav");
    let film = folder.join("trial.mp4");
    let picture = folder.join("trial.png");
    std::fs::write(&sound, tone()).map_err(|source| TrialError::File { path: sound.clone(), source })?;

    let [red, green, blue] = COLOR;
    let elements = json!([
        { "type": "text", "text": "framelane", "duration": 0.5, "font_size": 40 },
        { "type": "audio", "source_url": sound, "out_point": 0.5 },
    ]);
    let made = render(
        engine,
        json!({
            "width": 320, "height": 180, "frame_rate": 10, "duration": 0.5,
            "background_color": format!("#{red:02x}{green:02x}{blue:02x}"), "elements": elements,
        }),
        &film,
    )
    .map_err(TrialError::Making)?;

    let elements = json!([{ "type": "video", "source_url": film, "out_point": 0.5 }]);
    render(
        engine,
        json!({ "width": 320, "height": 180, "duration": 0.5, "output_format": "png", "elements": elements }),
        &picture,
    )
    .map_err(TrialError::Reading)?;

    let open = |path: &Path| {
        std::fs::File::open(path).map_err(|source| TrialError::File { path: path.to_owned(), source })
    };
    let read = engine.decoder().decode_still(&open(&picture)?).map_err(TrialError::Picture)?;
    // The first sample: text lies in the middle.
    let shown = [read.data[0], read.data[1], read.data[2]];
    if shown.iter().zip(COLOR).any(|(shown, asked)| shown.abs_diff(asked) > TOLERANCE) {
        return Err(TrialError::WrongColor { shown });
    }
    let size_bytes =
        open(&film)?.metadata().map_err(|source| TrialError::File { path: film.clone(), source })?.len();
    Ok(Trial { frames: made, size_bytes })
}

/// Renders a document of ours; the number of frames.
fn render(engine: &Engine, document: Value, output: &Path) -> Result<u64, Failure> {
    let composition = parsed(&document)?;
    let film = local::render(engine, composition, output, 1, &Control::default(), &|_frames| {})?;
    Ok(film.frames)
}

fn parsed(document: &Value) -> Result<Composition, Failure> {
    let options = ParseOptions { local_files: true, ..ParseOptions::default() };
    let parsed = composition::parse(document, &options).map_err(|problems| {
        let told: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
        Failure::internal("read our own composition", &io::Error::other(told.join("; ")))
    })?;
    Ok(parsed.composition)
}

/// Half a second of a quiet tone: a WAV file of 16-bit samples.
fn tone() -> Vec<u8> {
    let data = SAMPLES * 2;
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + data).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    // PCM, one channel.
    file.extend([1, 0, 1, 0]);
    file.extend(RATE.to_le_bytes());
    file.extend((RATE * 2).to_le_bytes());
    file.extend([2, 0, 16, 0]);
    file.extend(b"data");
    file.extend(data.to_le_bytes());
    // A triangle of 1 kHz: no transcendental functions needed.
    let sample = |at: u32| ((i64::from(at % 48) - 24).abs() - 12) * 200;
    file.extend((0..SAMPLES).flat_map(|at| i16::try_from(sample(at)).unwrap_or_default().to_le_bytes()));
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tone_is_a_whole_wav_file() {
        let file = tone();
        assert_eq!(file.len(), 44 + SAMPLES as usize * 2, "header and samples");
        assert_eq!(file[4..8], (u32::try_from(file.len()).expect("small") - 8).to_le_bytes(), "its length");
    }
}
