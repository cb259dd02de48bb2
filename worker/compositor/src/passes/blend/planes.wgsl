// 4:2:0 planes; chroma is sited left, between two rows.

@group(0) @binding(2) var luma_plane: texture_2d<f32>;
@group(0) @binding(3) var linear: sampler;
@group(0) @binding(4) var chroma_plane: texture_2d<f32>;

// From a place in the luma texture to the same place in the chroma texture.
fn chroma_position(at: vec2f) -> vec2f {
    return at * params.chroma_map.xy + params.chroma_map.zw;
}
