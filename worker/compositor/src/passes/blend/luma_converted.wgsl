// Luma of planes in another matrix: needs chroma at every pixel.

fn luma_at(at: vec2f) -> f32 {
    let c = vec4f(textureSampleLevel(luma_plane, linear, at, 0.0).x, chroma_at(at), 1.0);
    return dot(params.color[0], c);
}
