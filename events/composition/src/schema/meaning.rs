//! What every field means, in a sentence or two: for the OpenAPI document and whoever reads it.
//!
//! Apart from the tables of [`super::element`] and the others, because a sentence is longer than a field, and fields that
//! several objects share mean the same in all of them. Markdown; lengths in seconds and pixels where no unit is named.

use super::Schema;

/// Texts by owner (an object or a group of the tables; `any`: whoever has the field) and field; the owner's own text
/// stands under the empty name.
const MEANINGS: &[(&str, &[(&str, &str)])] = &[
    (
        "render request",
        &[
            (
                "",
                "A composition and how it leaves the house. Every field is optional; fields that nobody knows are accepted and \
                  named in the job's `warnings`.",
            ),
            (
                "width",
                "The canvas, in pixels; together with `height` or not at all (then 1280×720). 4:2:0 formats need even sides.",
            ),
            ("height", "The canvas, in pixels; together with `width` or not at all."),
            (
                "duration",
                "The film's length; the renderer cuts here. Without it, the largest end of an element counts, and 10 s \
                          where there is none.",
            ),
            (
                "frame_rate",
                "Frames a second: whole, or exact as `\"30000/1001\"` or 23.976, 29.97 and 59.94.",
            ),
            ("output_format", "The file's format; png and jpg are one still."),
            ("output_filename", "What a download is called, without extension or folders."),
            ("background_color", "What lies behind everything."),
            ("background_image_url", "A picture that covers the canvas, behind all elements."),
            (
                "alpha",
                "Whether the film is transparent where nothing is drawn; only in webm and mov. The default background is \
                       then transparent.",
            ),
            (
                "elements",
                "What is seen and heard. The higher `z_index` lies in front; of equals the earlier entry does.",
            ),
            ("transitions", "From one element to the next."),
            ("metadata", "Yours; echoed with the job, searchable in lists."),
            ("webhook_url", "Gets this job's webhooks in place of the workspace's endpoints."),
            ("ingest_external", "Whether sources are copied into storage before the job is queued."),
            ("snapshot_time", "The instant that a still shows; the middle of the film unless given."),
            ("output", "How the film is encoded."),
            ("outputs", "Further encodes of the same pictures."),
            ("priority", "−100 to 100; higher starts first within the workspace's share."),
            ("deadline", "When the job is of no use any more: it fails then."),
        ],
    ),
    (
        "Output",
        &[
            ("", "How the film is encoded. A codec that the format can't hold is refused by name."),
            ("video_codec", "The picture's codec; each format has its own default."),
            ("audio_codec", "The sound's codec; each format has its own default."),
            ("quality", "1 to 100; 60 unless given, for H.264 QP = round(47 − 0.35 · quality)."),
            ("bitrate", "Bits a second that no part's average exceeds."),
            ("max_bitrate", "Bits that no second exceeds."),
            ("keyframe_interval", "Seconds between two pictures that a player can start at."),
            ("audio_bitrate", "Bits a second of the sound."),
            ("loop", "How often a gif plays; 0 is for ever."),
            ("colors", "Colours of a gif's palettes."),
        ],
    ),
    (
        "OutputsEntry",
        &[
            ("", "A further encode of the same pictures."),
            ("name", "What the job calls it."),
            ("output_format", "Its format."),
            ("width", "Its own size; the canvas's unless given."),
            ("height", "Its own size; the canvas's unless given."),
            ("alpha", "Whether it keeps transparency."),
            ("output", "How it is encoded."),
        ],
    ),
    (
        "base",
        &[
            ("type", "What kind of element it is."),
            ("id", "Your name for it: transitions and errors use it."),
            ("name", "A label for people."),
            ("track", "A label for editors; elements of one track pair for transitions that name no ids."),
            ("time", "When it begins, in its composition's time."),
            ("visible", "false takes it out, sound included."),
        ],
    ),
    (
        "visual",
        &[
            ("x", "Where the anchor lies, from the canvas's left."),
            ("y", "Where the anchor lies, from the canvas's top."),
            ("width", "The box; % is of the canvas."),
            ("height", "The box; % is of the canvas."),
            (
                "aspect_ratio",
                "Width by height: fills the side that is not given; with both or neither given it shrinks the box.",
            ),
            ("x_anchor", "The point of the box that x and y place; % is of the box."),
            ("y_anchor", "The point of the box that x and y place; % is of the box."),
            ("x_rotation", "A tilt in perspective; positive tips the top away."),
            ("y_rotation", "A tilt in perspective; positive tips the right side away."),
            ("z_rotation", "A turn about the anchor, clockwise."),
            ("x_scale", "Stretches about the anchor."),
            ("y_scale", "Stretches about the anchor."),
            ("flip_horizontal", "Left becomes right."),
            ("flip_vertical", "Top becomes bottom."),
            ("opacity", "0 is invisible, 100 solid."),
            ("z_index", "The higher lies in front; of equals the earlier entry does."),
            ("blend_mode", "How it mixes with what lies behind it."),
            ("clip", "Whether what reaches beyond the box is cut away."),
            (
                "color_overlay",
                "Painted over the element inside its own alpha; the colour's alpha is the strength.",
            ),
            ("fit", "How the source fills the box: `cover` cuts, `contain` leaves bars, `fill` stretches."),
            (
                "seed",
                "What effects, noise and random motions grow from; the element's place in the document unless given.",
            ),
        ],
    ),
    (
        "style",
        &[
            ("border_radius", "Round corners; % is of the box's shorter side."),
            ("border_color", "The border's colour."),
            ("border_width", "The border's width, inside the box."),
            ("shadow_color", "The shadow's colour."),
            ("shadow_blur", "How soft the shadow is."),
            ("shadow_x", "How far to the right the shadow falls."),
            ("shadow_y", "How far down the shadow falls."),
        ],
    ),
    (
        "crop",
        &[
            ("crop_top", "The share of the source cut from its top."),
            ("crop_bottom", "The share of the source cut from its bottom."),
            ("crop_left", "The share of the source cut from its left."),
            ("crop_right", "The share of the source cut from its right."),
        ],
    ),
    (
        "colour",
        &[
            ("brightness", "−100 is black, 100 white."),
            ("contrast", "−100 is grey."),
            ("saturation", "−100 is without colour."),
            ("exposure", "Darker or brighter as a camera would."),
            ("hue_rotate", "Turns the colours."),
            ("sharpness", "Emphasises edges."),
            ("blur", "Softens; 100 is a Gaussian with σ of 5 % of the canvas's height."),
            ("noise", "Film grain."),
            ("vignette", "Darkens the corners."),
        ],
    ),
    (
        "lut",
        &[
            ("lut_url", "A look-up table of colours: a `.cube` file, 1-D or 3-D up to 65³."),
            ("lut_intensity", "How much of the look-up table's colours is mixed in."),
        ],
    ),
    ("video", &[("", "A film inside the film, with its sound."), ("reverse", "Plays backwards.")]),
    ("audio", &[("", "Sound alone.")]),
    (
        "image",
        &[
            (
                "",
                "A still or an animation: JPEG, PNG, WebP, GIF, AVIF, TIFF or SVG, told by its bytes. EXIF orientation is \
                  honoured.",
            ),
            (
                "id",
                "Your name for it: transitions and errors use it. The public API requires it; here its absence is a warning.",
            ),
        ],
    ),
    (
        "text",
        &[
            (
                "",
                "Text, set in its box and in the middle of its height. Bidirectional scripts, CJK and colour emoji work; a \
                  character in no font is a warning.",
            ),
            ("text", "What it says; line breaks break lines."),
            ("z_index", "The higher lies in front; text lies before pictures unless told otherwise."),
            ("font_family", "One of the fonts of the installation."),
            ("font_size", "Canvas pixels per em."),
            ("font_weight", "100 is hairline, 400 regular, 700 bold, 900 black."),
            ("font_style", "Slant, and weight by name."),
            ("text_color", "The letters' colour."),
            ("text_align", "Where lines stand in the box."),
            ("text_decoration", "A line under or through the letters."),
            ("tracking", "Room between letters, in thousandths of an em."),
            ("leading", "The distance of lines, in ems."),
            ("stroke_color", "The letters' outline, 0.05 em wide where no width is given."),
            ("stroke_width", "The outline's width, as a share of the font size."),
            (
                "background_color",
                "A plate behind the lines; with `word_animation`, the colour of the highlight.",
            ),
            ("background_opacity", "How solid that colour is."),
            ("x_padding", "How far the plate reaches beyond the lines, left and right."),
            ("y_padding", "How far the plate reaches beyond the lines, up and down."),
            ("background", "Draws a plate; at most one of `background`, `stroke` and `shadow` is true."),
            ("stroke", "Draws the outline only; at most one of `background`, `stroke` and `shadow` is true."),
            ("shadow", "Draws a shadow; at most one of `background`, `stroke` and `shadow` is true."),
            ("text_wrap", "Whether lines break at the box's width."),
            ("word_animation", "Sets off each word as it is spoken."),
            ("animation_preset", "`typewriter`: the letters come one by one."),
            ("font_url", "A font file to set this text in."),
            ("vertical_align", "Where the lines stand in the box's height."),
            ("auto_size", "Shrinks the font until the text fits its box."),
        ],
    ),
    (
        "composition",
        &[
            ("", "A composition inside the composition; its children's times are relative to its own."),
            ("width", "Its own canvas; the parent's unless given."),
            ("height", "Its own canvas; the parent's unless given."),
            ("duration", "Its length; the largest end of a child unless given."),
            ("background_color", "What lies behind its children."),
            (
                "elements",
                "What is seen and heard in it. The higher `z_index` lies in front; of equals the earlier entry does.",
            ),
            ("transitions", "From one child to the next."),
        ],
    ),
    ("shape", &[("", "A drawn shape.")]),
    (
        "Effect",
        &[
            ("", "An effect on one element's pixels; effects apply in the order of the list."),
            ("type", "Which effect; `GET /v1/capabilities` says which this installation carries out."),
            ("intensity", "0 changes nothing at all."),
            ("chroma_settings", "Which colours `chroma_key` takes out."),
            ("seed", "What its randomness grows from."),
        ],
    ),
    (
        "ChromaSettings",
        &[
            ("", "Which colours `chroma_key` takes out."),
            ("hue_min", "Degrees on the colour circle."),
            ("hue_max", "Degrees on the colour circle."),
            ("sat_min", "The least saturation taken out."),
            ("sat_max", "The most saturation taken out."),
            ("lum_min", "The least brightness taken out."),
            ("lum_max", "The most brightness taken out."),
        ],
    ),
    (
        "Motion",
        &[
            ("", "How an element enters, leaves or moves while it is there."),
            ("type", "Which motion; `GET /v1/capabilities` says what each serves."),
            ("time", "When it begins, in the composition's time."),
            ("duration", "How long it takes."),
            ("easing", "How it runs over time."),
            ("reversed", "Runs backwards: an exit."),
            ("scope", "Whether it moves the element, or text letter by letter."),
            ("delay", "Seconds between two letters."),
            ("loop", "Repeats while the element is there."),
        ],
    ),
    (
        "Transition",
        &[
            (
                "",
                "From one element to the next, from the second one's begin on. Without ids, neighbours in time of one track and \
                  z_index pair.",
            ),
            ("type", "Which transition; `fade` is another name of `cross_dissolve`."),
            ("duration", "How long it takes."),
            ("from_id", "The element that leaves."),
            ("to_id", "The element that comes."),
            ("z_index", "Where it lies."),
        ],
    ),
    (
        "WordAnimation",
        &[
            ("", "Captions that follow speech."),
            ("style", "How the spoken word is set off."),
            ("words", "The words and when they are spoken."),
            ("srt_url", "Subtitles in place of `words`."),
            ("vtt_url", "Subtitles in place of `words`."),
        ],
    ),
    (
        "Word",
        &[
            ("", "One spoken word."),
            ("text", "The word."),
            ("start", "When it begins, in the composition's time."),
            ("end", "When it ends, in the composition's time."),
        ],
    ),
    (
        "Keyframe",
        &[
            ("time", "In the composition's own time, strictly later than the keyframe before."),
            ("value", "The value there."),
            ("easing", "How the value moves from here to the next keyframe."),
        ],
    ),
    ("Keyframes", &[("keyframes", "At least one; before the first and after the last the value holds.")]),
    (
        "any",
        &[
            (
                "source_url",
                "Where the media lie: http or https. What they are is told by their bytes, never by the address.",
            ),
            ("in_point", "Where in the source it begins."),
            ("out_point", "Where in the source it ends; the source's end unless given."),
            ("speed", "1 is as recorded; the sound keeps its pitch."),
            ("volume", "Linear: 100 is as recorded."),
            ("fade_in_duration", "How long the sound takes to rise."),
            ("fade_out_duration", "How long the sound takes to fall."),
            ("duration", "How long it is there."),
            ("effects", "Effects on its pixels, in this order."),
            ("motion", "How it enters, leaves and moves."),
            ("loop", "Begins again when the source has ended."),
        ],
    ),
];

/// What a field of an object means; the empty name asks for the object's own text.
pub(super) fn meaning(schema: &Schema, field: &str) -> Option<&'static str> {
    let groups = schema.groups.iter().map(|group| group.name);
    let owners = [schema.name].into_iter().chain(groups.filter(|_| !field.is_empty())).chain(["any"]);
    owners
        .filter_map(|owner| MEANINGS.iter().find(|(name, _)| *name == owner))
        .find_map(|(_, texts)| texts.iter().find(|(name, _)| *name == field).map(|(_, text)| *text))
}

#[cfg(test)]
mod tests {
    use super::super::json::objects;
    use super::*;

    #[test]
    fn every_object_and_every_field_has_a_meaning() {
        for schema in objects() {
            assert!(meaning(schema, "").is_some() || schema.name.starts_with("Keyframe"), "{}", schema.name);
            for field in schema.fields() {
                assert!(
                    meaning(schema, field.name).is_some(),
                    "{} of {} has no meaning",
                    field.name,
                    schema.name
                );
            }
        }
    }

    #[test]
    fn no_meaning_is_left_of_a_field_that_went() {
        for (owner, texts) in MEANINGS {
            let owns = |schema: &&&Schema| {
                *owner == "any"
                    || schema.name == *owner
                    || schema.groups.iter().any(|group| group.name == *owner)
            };
            for (field, _) in texts.iter().filter(|(field, _)| !field.is_empty()) {
                let known = objects().iter().filter(owns).any(|schema| schema.field(field).is_some());
                assert!(known, "{owner} has no field {field}");
            }
        }
    }
}
