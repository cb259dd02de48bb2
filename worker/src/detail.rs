//! What planning found out about the sources: pinned content and probed facts, stored as one object beside the log.
//!
//! Every part reads the same detail, so that all agree on frame numbers, whoever renders them.

use composition::element::{ElementKind, SourceUrl};
use composition::{Composition, Element};
use events::Sha256;
use media::decoder::{Orientation, Probe};
use scene::{Picture, SourceFacts, Turn};
use serde::{Deserialize, Serialize};

/// The sources of a composition, each once, and who uses which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanDetail {
    /// Each source once, in order of first use.
    pub sources: Vec<PinnedSource>,
    /// By element index: the index of its source.
    pub elements: Vec<Option<usize>>,
    /// The background image's source.
    pub background: Option<usize>,
}

/// A source whose bytes are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PinnedSource {
    /// The digest of its bytes; other bytes at the address fail with `source_changed`.
    pub content: Sha256,
    /// How many bytes.
    pub size_bytes: u64,
    /// What it holds.
    pub probe: Probe,
}

/// The address of an element's source, if it has one.
#[must_use]
pub fn source_of(element: &Element) -> Option<&SourceUrl> {
    match &element.kind {
        ElementKind::Video(video) => Some(&video.source),
        ElementKind::Image(image) => Some(&image.source),
        ElementKind::Audio(audio) => Some(&audio.source),
        ElementKind::Text(_) => None,
    }
}

/// The addresses a composition needs, each once in order of first use, with their users: `None` is the background.
#[must_use]
pub fn sources(composition: &Composition) -> Vec<(&SourceUrl, Vec<Option<usize>>)> {
    let mut found: Vec<(&SourceUrl, Vec<Option<usize>>)> = Vec::new();
    let visible = composition.elements.iter().enumerate().filter(|(_, element)| element.visible);
    let used = visible.filter_map(|(index, element)| Some((source_of(element)?, Some(index))));
    for (url, user) in used.chain(composition.background.image.as_ref().map(|url| (url, None))) {
        match found.iter_mut().find(|(known, _)| *known == url) {
            Some((_, users)) => users.push(user),
            None => found.push((url, vec![user])),
        }
    }
    found
}

impl PlanDetail {
    /// The pinned source of an element.
    #[must_use]
    pub fn source(&self, element: usize) -> Option<(usize, &PinnedSource)> {
        let index = self.elements.get(element).copied().flatten()?;
        Some((index, self.sources.get(index)?))
    }

    /// What the scene must know of an element's source; texts are laid out elsewhere.
    #[must_use]
    pub fn facts(&self, element: usize) -> Option<SourceFacts> {
        Some(match &self.source(element)?.1.probe {
            Probe::Still { .. } => SourceFacts::Image(self.picture(self.source(element)?.0)?),
            Probe::Media { video: Some(_), audio, end } => SourceFacts::Video {
                picture: self.picture(self.source(element)?.0)?,
                end: *end,
                has_sound: audio.is_some(),
            },
            Probe::Media { video: None, audio: _, end } => SourceFacts::Sound { end: *end },
        })
    }

    /// The shape of a source's picture.
    #[must_use]
    pub fn picture(&self, source: usize) -> Option<Picture> {
        match &self.sources.get(source)?.probe {
            Probe::Still { width, height, has_alpha, .. } => {
                Some(Picture { opaque: !has_alpha, ..Picture::upright(*width, *height) })
            }
            Probe::Media { video, .. } => video.as_ref().map(|video| Picture {
                width: video.width,
                height: video.height,
                orientation: turned(video.orientation),
                sample_aspect: video.sample_aspect,
                opaque: true,
            }),
        }
    }
}

fn turned(orientation: Orientation) -> scene::Orientation {
    let turn = match orientation.quarter_turns % 4 {
        1 => Turn::Quarter,
        2 => Turn::Half,
        3 => Turn::ThreeQuarters,
        _ => Turn::None,
    };
    scene::Orientation { turn, mirrored: orientation.mirrored }
}
