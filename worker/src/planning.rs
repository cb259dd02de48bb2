//! The plan slot: fetch and probe every source, check that it can play its role, and cut the film.

use std::sync::Arc;

use composition::element::{ElementKind, SourceUrl};
use composition::{Composition, Element, Limits};
use events::WorkspaceId;
use events::fault::FaultCode;
use events::job::ProgressStage;
use events::render::{PartRange, SubmissionWarning};
use media::decoder::{DecoderHost, Probe};
use media::frame::Transfer;
use scene::FontSet;

use crate::assets::{Asset, Assets};
use crate::control::Control;
use crate::cut;
use crate::detail::{PinnedSource, PlanDetail, sources};
use crate::failure::Failure;
use crate::prepared::{Prepared, warning};

/// What the plan slot found out.
#[derive(Debug)]
pub struct Planned {
    /// The render, ready for its parts.
    pub prepared: Prepared,
    /// Its sources. Their files stay while this lives.
    pub assets: Vec<Asset>,
    /// Frames of the whole film; 1 for a still.
    pub frames: u64,
    /// Seconds; a still's is 0.
    pub duration: f64,
    /// Frame ranges.
    pub parts: Vec<PartRange>,
    /// Whether there is anything to hear.
    pub audio: bool,
    /// What looked suspicious.
    pub warnings: Vec<SubmissionWarning>,
}

/// Fetches, probes and cuts.
///
/// # Errors
/// Where a source can't be had or can't play its role; the fault names the element.
pub fn plan(
    workspace: WorkspaceId,
    composition: Composition,
    assets: &Assets,
    decoder: &DecoderHost,
    fonts: &Arc<FontSet>,
    control: &Control,
) -> Result<Planned, Failure> {
    control.enter(ProgressStage::Downloading);
    let fetch = |url: &SourceUrl| assets.fetch(workspace, url, control);
    let (detail, assets) = pin(&composition, &fetch, decoder, control)?;
    let files = assets.iter().map(|asset| asset.path.clone()).collect();
    let (prepared, set) = Prepared::new(composition, detail, files, fonts)?;
    let mut warnings = suspicions(&prepared);
    warnings.extend(set);
    let still = prepared.composition.output.format.is_still();
    let rate = prepared.composition.frame_rate;
    let frames = if still { 1 } else { prepared.stage.frames() };
    check_size(&prepared.composition, frames)?;
    Ok(Planned {
        frames,
        duration: if still { 0.0 } else { rate.instant(composition::FrameIndex(frames)).seconds() },
        parts: cut::parts(frames, rate),
        audio: !still && !prepared.stage.sound().is_empty(),
        warnings,
        prepared,
        assets,
    })
}

/// Fetches and probes each source once.
fn pin(
    composition: &Composition,
    fetch: &dyn Fn(&SourceUrl) -> Result<Asset, Failure>,
    decoder: &DecoderHost,
    control: &Control,
) -> Result<(PlanDetail, Vec<Asset>), Failure> {
    let mut detail = PlanDetail {
        sources: Vec::new(),
        elements: vec![None; composition.elements.len()],
        background: None,
    };
    let mut assets = Vec::new();
    for (url, users) in sources(composition) {
        control.go_on()?;
        let pinned = fetch(url).and_then(|asset| Ok((probe(url, &asset, decoder, control)?, asset)));
        let (pinned, asset) = pinned.map_err(|failure| blame(failure, composition, &users))?;
        for user in &users {
            check_role(composition, *user, &pinned.probe, url)
                .map_err(|failure| blame(failure, composition, &[*user]))?;
            match user {
                Some(element) => detail.elements[*element] = Some(assets.len()),
                None => detail.background = Some(assets.len()),
            }
        }
        detail.sources.push(pinned);
        assets.push(asset);
    }
    Ok((detail, assets))
}

fn probe(
    url: &SourceUrl,
    asset: &Asset,
    decoder: &DecoderHost,
    control: &Control,
) -> Result<PinnedSource, Failure> {
    let file = std::fs::File::open(&asset.path)
        .map_err(|error| Failure::internal("open a fetched source", &error))?;
    let probe = decoder.probe(&file).map_err(|error| Failure::of_decoding(&error, &url.redacted()))?;
    control.advance(1);
    Ok(PinnedSource { content: asset.content, size_bytes: asset.size_bytes, probe })
}

/// The fault at its first user's address field.
pub(crate) fn blame(failure: Failure, composition: &Composition, users: &[Option<usize>]) -> Failure {
    match users.first().copied().flatten() {
        Some(element) => failure.at(&composition.elements[element], "source_url"),
        None => failure.at_field("/background_image_url"),
    }
}

/// Whether what was found can be what the document says it is.
fn check_role(
    composition: &Composition,
    user: Option<usize>,
    probe: &Probe,
    url: &SourceUrl,
) -> Result<(), Failure> {
    let kind = user.map(|element| &composition.elements[element].kind);
    let wanted = match (kind, probe) {
        (Some(ElementKind::Video(_)), Probe::Media { video: Some(_), .. })
        | (Some(ElementKind::Audio(_)), Probe::Media { audio: Some(_), .. })
        | (Some(ElementKind::Image(_)) | None, Probe::Still { .. }) => return Ok(()),
        (Some(ElementKind::Video(_)), _) => "moving pictures",
        (Some(ElementKind::Audio(_)), _) => "sound",
        (Some(ElementKind::Image(_) | ElementKind::Text(_)) | None, _) => "a JPEG, PNG or WebP image",
    };
    let found = match probe {
        Probe::Still { format, .. } => format!("a still ({format:?})"),
        Probe::Media { video: Some(_), audio: Some(_), .. } => "a video with sound".to_owned(),
        Probe::Media { video: Some(_), audio: None, .. } => "a video without sound".to_owned(),
        Probe::Media { video: None, .. } => "sound only".to_owned(),
    };
    let message = format!("{} holds {found}; this element needs {wanted}", url.redacted());
    Err(Failure::new(FaultCode::UnsupportedMedia, message))
}

/// A picture is called upscaled where it is shown this many times as large as its own pixels.
const UPSCALED_FROM: f64 = 1.05;

fn suspicions(prepared: &Prepared) -> Vec<SubmissionWarning> {
    let each = prepared.composition.elements.iter().enumerate().filter(|(_, element)| element.visible);
    each.flat_map(|(index, element)| {
        let probe = prepared.detail.source(index).map(|(_, source)| &source.probe);
        let mut warnings = probe.map(|probe| suspicions_about(element, probe)).unwrap_or_default();
        if let Some(times) = prepared.stage.magnification(index).filter(|times| *times > UPSCALED_FROM) {
            let message = format!("the picture is shown {times:.1} times as large as its own pixels");
            warnings.push(warning("upscaled", message, format!("{}/source_url", element.path)));
        }
        warnings
    })
    .collect()
}

fn suspicions_about(element: &Element, probe: &Probe) -> Vec<SubmissionWarning> {
    let Probe::Media { video, end, .. } = probe else { return Vec::new() };
    let mut warnings = Vec::new();
    let span = match &element.kind {
        ElementKind::Video(video) => Some(&video.span),
        ElementKind::Audio(audio) => Some(&audio.span),
        ElementKind::Image(_) | ElementKind::Text(_) => None,
    };
    if let Some(out_point) = span.and_then(|span| span.out_point).filter(|out_point| out_point > end) {
        let message = format!("out_point is {out_point}, the source ends at {end}; its last frame holds");
        warnings.push(warning(
            "source_shorter_than_out_point",
            message,
            format!("{}/out_point", element.path),
        ));
    }
    let seen = video.as_ref().filter(|_| matches!(element.kind, ElementKind::Video(_)));
    if seen.is_some_and(|video| video.index.is_variable()) {
        let message =
            "the source's frames last differently long; each film frame shows the one that is on then";
        let path = format!("{}/source_url", element.path);
        warnings.push(warning("variable_frame_rate", message.to_owned(), path));
    }
    if seen.is_some_and(|video| video.color.transfer != Transfer::Sdr) {
        let message = "the source is HDR; its code values are shown as SDR without tone mapping".to_owned();
        warnings.push(warning("hdr_shown_as_sdr", message, format!("{}/source_url", element.path)));
    }
    warnings
}

/// The limits again, now that the film's length is known.
fn check_size(composition: &Composition, frames: u64) -> Result<(), Failure> {
    let limits = Limits::default();
    let seconds = composition.frame_rate.instant(composition::FrameIndex(frames)).seconds();
    let pixels = u64::from(composition.canvas.width) * u64::from(composition.canvas.height) * frames;
    let fault = if seconds > f64::from(limits.duration_s_max) {
        format!(
            "the sources make the film {seconds:.1} s long; at most {} s are allowed",
            limits.duration_s_max
        )
    } else if pixels > limits.job_pixels_max {
        format!("the film has {pixels} pixels over all frames; at most {} are allowed", limits.job_pixels_max)
    } else {
        return Ok(());
    };
    Err(Failure::new(FaultCode::SourceTooLarge, fault).at_field("/duration"))
}
