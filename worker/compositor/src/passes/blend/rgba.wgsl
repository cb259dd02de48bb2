// Sink: paints samples over a canvas of premultiplied RGBA words in place.

@group(0) @binding(8) var<storage, read_write> pixels: array<vec4<u32>>;

fn painted(under: u32, p: vec2f) -> u32 {
    let over = sampled(position(p)) * coverage(p);
    // Both terms round: half of 255 and half of 255 may be a little more than 255, which does not fit a byte.
    return pack(min(bytes(under) * (1.0 - over.w * (1.0 / 255.0)) + over, vec4f(255.0)));
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = place(group.x, lane);
    // Two rows of four words of four pixels.
    for (var i = 0u; i < 8u; i++) {
        let x = at.x + (i & 3u) * 4u;
        let y = at.y + (i >> 2u);
        let word_at = y * params.row_words + x / 4u;
        let under = pixels[word_at];
        let p = vec2f(f32(x), f32(y)) + 0.5;
        pixels[word_at] = vec4<u32>(
            painted(under.x, p),
            painted(under.y, p + vec2f(1.0, 0.0)),
            painted(under.z, p + vec2f(2.0, 0.0)),
            painted(under.w, p + vec2f(3.0, 0.0)),
        );
    }
}
