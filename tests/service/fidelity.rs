//! What goes in comes out: colours, detail, and no seam where parts join.

use serde_json::json;

use crate::support::{System, decode, psnr_y};

#[tokio::test]
async fn colour_bars_keep_their_colours_at_part_joins_too() {
    let system = System::start(&[("bars.png", "-f lavfi -i smptebars=size=1280x720 -frames:v 1")], &[]).await;
    let (_, film) = system
        .render(&json!({ "width": 1280, "height": 720, "duration": 9, "frame_rate": 30,
            "elements": [{ "type": "image", "id": "bars", "source_url": system.outside.media("bars.png"), "duration": 9 }] }))
        .await;
    let source = decode(&system.folder.path().join("bars.png"), &["-f", "rawvideo", "-pix_fmt", "rgb24"]);
    // Frames around both joins, the first and the last: decoded with exact conversion.
    for frame in [0, 118, 119, 120, 121, 239, 240, 241, 269] {
        let select = format!(
            "select=eq(n\\,{frame}),scale=flags=accurate_rnd+full_chroma_int:in_color_matrix=bt709:in_range=tv"
        );
        let shown = decode(&film, &["-vf", &select, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24"]);
        for bar in 0..7 {
            // The middle of each of the seven upper bars.
            let at = 3 * (200 * 1280 + (2 * bar + 1) * 1280 / 14);
            for channel in 0..3 {
                let (expected, found) = (i16::from(source[at + channel]), i16::from(shown[at + channel]));
                assert!(
                    (expected - found).abs() <= 2,
                    "frame {frame}, bar {bar}, channel {channel}: {expected} became {found}"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_untouched_video_keeps_its_detail_everywhere() {
    let recipe = "-f lavfi -i mandelbrot=size=640x360:rate=30:maxiter=120,noise=alls=2:allf=t,format=yuv420p -t 9 \
        -c:v libx264 -preset veryfast -crf 12 -g 60 -colorspace bt709 -color_primaries bt709 -color_trc bt709";
    let system = System::start(&[("clip.mp4", recipe)], &[]).await;
    let clip = system.folder.path().join("clip.mp4");
    let (_, film) = system
        .render(&json!({ "width": 640, "height": 360, "duration": 9,
            "elements": [{ "type": "video", "source_url": system.outside.media("clip.mp4"), "out_point": 9 }] }))
        .await;
    let whole = psnr_y(&film, &clip, "");
    assert!(whole >= 37.0, "the whole film is close to its source: {whole} dB");
    // The frames around the joins at 120 and 240, against the whole.
    let window = |film: &std::path::Path, name: &str| {
        let cut = system.folder.path().join(name);
        let keep = "select='between(n,117,123)+between(n,237,243)',setpts=N/30/TB";
        crate::support::ffmpeg(&format!("-i {} -vf {keep} -c:v ffv1", film.display()), &cut);
        cut
    };
    let joins = psnr_y(&window(&film, "a.mkv"), &window(&clip, "b.mkv"), "");
    assert!(joins >= whole - 1.0, "part joins are no worse: {joins} dB there, {whole} dB overall");
}

#[tokio::test]
async fn a_video_filmed_upright_is_shown_upright() {
    let system = System::start(
        &[("lying.mp4", "-f lavfi -i testsrc2=size=320x180:rate=30:duration=2 -c:v libx264 -preset veryfast -crf 12 -pix_fmt yuv420p")],
        &[],
    )
    .await;
    let (lying, upright) = (system.folder.path().join("lying.mp4"), system.folder.path().join("upright.mp4"));
    // The pixels stay as they are; the display matrix says how to turn them, as phones do.
    crate::support::ffmpeg(&format!("-i {} -c copy -metadata:s:v rotate=90", lying.display()), &upright);
    let (_, film) = system
        .render(&json!({ "width": 180, "height": 320, "duration": 2,
            "elements": [{ "type": "video", "source_url": system.outside.media("upright.mp4"), "out_point": 2 }] }))
        .await;
    // ffmpeg turns the source itself before it compares. The source is untagged SD: BT.601 becomes BT.709.
    let likeness = psnr_y(&film, &upright, "scale=in_color_matrix=bt601:out_color_matrix=bt709,");
    assert!(likeness >= 30.0, "the film shows what a player shows: {likeness} dB");
}
