//! The assemble slot: parts in order and the sound become the finished file. Nothing is encoded again.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use composition::{Composition, OutputFormat};
use events::fault::FaultCode;
use media::muxer::mp4::{FilmParts, MuxError, VideoPart, mux};

use crate::control::Control;
use crate::failure::Failure;

/// A stored part on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalPart {
    /// Its file.
    pub(crate) path: PathBuf,
    /// How many frames it must hold.
    pub(crate) frames: u64,
}

/// Bytes buffered between muxer and file.
const BUFFER: usize = 1 << 20;

/// Joins the parts of a film, or takes a still's only part, to `output`.
///
/// # Errors
/// Where a part does not belong to the film, or reading or writing fails.
pub(crate) fn assemble(
    composition: &Composition,
    parts: &[LocalPart],
    sound: Option<&Path>,
    output: &Path,
    control: &Control,
) -> Result<(), Failure> {
    if composition.output.format.is_still() {
        let [still] = parts else {
            return Err(Failure::internal("assemble a still", &io::Error::other("it has not one part")));
        };
        return std::fs::copy(&still.path, output)
            .map(drop)
            .map_err(|error| Failure::internal("write the still", &error));
    }
    let video = parts.iter().map(|part| VideoPart { path: part.path.clone(), frames: part.frames }).collect();
    let film = FilmParts { video, audio: sound.map(Path::to_owned) };
    let file = File::create(output).map_err(|error| Failure::internal("write the film", &error))?;
    let mut writer = BufWriter::with_capacity(BUFFER, Watched { file, control });
    match mux(&film, &mut writer) {
        Ok(_facts) => Ok(()),
        Err(error) => {
            control.go_on()?;
            Err(unjoined(&error))
        }
    }
}

/// The name of what a format's pictures are coded with.
pub(crate) fn video_codec(format: OutputFormat) -> &'static str {
    match format {
        OutputFormat::Mp4 => "h264",
        OutputFormat::Png => "png",
        OutputFormat::Jpg => "jpeg",
    }
}

/// Parts that don't fit each other were made by different engines, which the plan forbids: a fault of ours.
fn unjoined(error: &MuxError) -> Failure {
    match Failure::internal("assemble the film", error) {
        Failure::Fault(fault) => Failure::new(FaultCode::EncodeFailed, fault.message),
        no_fault @ (Failure::Stopped(_) | Failure::Full) => no_fault,
    }
}

/// A file that counts what is written and stops when told to.
struct Watched<'c> {
    file: File,
    control: &'c Control,
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.control.go_on().map_err(io::Error::other)?;
        let written = self.file.write(bytes)?;
        self.control.advance(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
