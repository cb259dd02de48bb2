//! The sound of a film: every element's sound in one mix, encoded once, as a whole.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use composition::FrameIndex;
use events::fault::FaultCode;
use events::job::ProgressStage;
use media::decoder::{AudioReader, DecodeError, DecoderHost, Probe};
use media::encoder::aac::AacEncoder;
use media::mixer::{AudioSource, CHANNELS, MixTrack, Mixer, SAMPLE_RATE, SourceError};
use media::part::{Description, PartWriter};
use scene::SoundSpan;

use crate::control::Control;
use crate::detail::source_of;
use crate::failure::Failure;
use crate::prepared::Prepared;

/// Mixes and encodes the whole film's sound to a part file.
///
/// # Errors
/// Where a source can't be decoded; the fault names the element.
pub(crate) fn render_sound(
    prepared: &Arc<Prepared>,
    decoder: &DecoderHost,
    control: &Control,
    file: &Path,
) -> Result<(), Failure> {
    control.enter(ProgressStage::Compositing);
    let frames = prepared.stage.frames();
    let film_end = prepared.composition.frame_rate.instant(FrameIndex(frames));
    let length = samples(film_end);
    let spans = prepared.stage.sound();
    let mut mixer = Mixer::new(spans.iter().map(|span| track(prepared, span, decoder)).collect(), length);
    let broken =
        |error: &(dyn std::error::Error + 'static)| match Failure::internal("encode the sound", error) {
            Failure::Fault(fault) => Failure::new(FaultCode::EncodeFailed, fault.message),
            no_fault @ (Failure::Stopped(_) | Failure::Full) => no_fault,
        };
    let mut encoder =
        AacEncoder::new(prepared.composition.output.audio_bitrate).map_err(|error| broken(&error))?;
    let created = File::create(file).map_err(|error| Failure::internal("write the sound", &error))?;
    let mut writer = PartWriter::new(BufWriter::new(created));
    loop {
        control.go_on()?;
        let block = match mixer.next_block() {
            Ok(Some(block)) => block,
            Ok(None) => break,
            Err(error) => return Err(blame(prepared, spans.get(error.track), error.source)),
        };
        for packet in encoder.encode(block).map_err(|error| broken(&error))? {
            writer.push(&packet).map_err(|error| Failure::internal("write the sound", &error))?;
        }
        control.advance(1);
    }
    let (packets, parameters) = encoder.finish().map_err(|error| broken(&error))?;
    for packet in packets {
        writer.push(&packet).map_err(|error| Failure::internal("write the sound", &error))?;
    }
    let finished = writer.finish(&Description::Aac(parameters.into()));
    finished.map(drop).map_err(|error| Failure::internal("write the sound", &error))
}

/// A length of time in samples per channel; never negative here.
fn samples(time: composition::Ticks) -> u64 {
    u64::try_from(time.in_units_of(SAMPLE_RATE)).unwrap_or(0)
}

fn track(prepared: &Arc<Prepared>, span: &SoundSpan, decoder: &DecoderHost) -> MixTrack {
    MixTrack {
        start: samples(span.start),
        length: samples(span.length),
        lasts: samples(span.lasts),
        in_point: samples(span.in_point),
        speed: span.speed,
        volume: span.volume as f32,
        fade_in: samples(span.fade_in),
        fade_out: samples(span.fade_out),
        cross_in: samples(span.cross_in),
        cross_out: samples(span.cross_out),
        source: Box::new(ElementSound {
            prepared: Arc::clone(prepared),
            element: span.element,
            decoder: decoder.clone(),
            reader: None,
        }),
    }
}

/// One element's sound; its decoder opens when the mix gets there, so that a film of a thousand sounds never holds a
/// thousand decoders.
struct ElementSound {
    prepared: Arc<Prepared>,
    element: usize,
    decoder: DecoderHost,
    reader: Option<AudioReader>,
}

impl AudioSource for ElementSound {
    fn read(&mut self, start_frame: i64, out: &mut [f32]) -> Result<(), SourceError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            closed => closed.insert(open(&self.prepared, self.element, &self.decoder)?),
        };
        let found = reader.read(start_frame, out.len() / CHANNELS)?;
        let (heard, silent) = out.split_at_mut(found.len());
        heard.copy_from_slice(&found);
        silent.fill(0.0);
        Ok(())
    }
}

fn open(prepared: &Prepared, element: usize, decoder: &DecoderHost) -> Result<AudioReader, SourceError> {
    let (source, pinned) = prepared.detail.source(element).ok_or("the plan has no source for this sound")?;
    let Probe::Media { audio: Some(track), .. } = &pinned.probe else {
        return Err("the plan's source has no sound".into());
    };
    let file = File::open(&prepared.files[source])?;
    Ok(decoder.open_audio(&file, track)?)
}

/// A source that could not be read, as the client sees it.
fn blame(prepared: &Prepared, span: Option<&SoundSpan>, error: SourceError) -> Failure {
    let element = span.map(|span| &prepared.composition.elements[span.element]);
    let name = element.and_then(source_of).map(|url| url.redacted()).unwrap_or_default();
    let failure = match error.downcast_ref::<DecodeError>() {
        Some(error) => Failure::of_decoding(error, &name),
        None => Failure::internal(&format!("read the sound of {name}"), error.as_ref()),
    };
    match element {
        Some(element) => failure.at(element, "source_url"),
        None => failure,
    }
}
