// The constants of one draw and the frame's tile list. Twin of `Uniforms` in frame_graph/uniforms.rs.

struct Params {
    edge_u: vec4f,
    edge_v: vec4f,
    slack: vec4f,
    texel_x: vec4f,
    texel_y: vec4f,
    texel_clamp: vec4f,
    chroma_map: vec4f,
    color: array<vec4f, 3>,
    origin: vec2i,
    opacity: f32,
    step: u32,
    first_tile: u32,
    row_words: u32,
    chroma_row_words: u32,
    chroma_plane_words: u32,
    grid_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// Four bytes of a word, first byte first.
fn bytes(word: u32) -> vec4f {
    return vec4f((vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}

// Four values of 0 to 255 as bytes, to nearest: 2^23 + n has n in its low bits. Beyond that range neighbours break.
fn pack(c: vec4f) -> u32 {
    let b = bitcast<vec4<u32>>(c + 8388608.0) & vec4<u32>(255u);
    return b.x | (b.y << 8u) | (b.z << 16u) | (b.w << 24u);
}
