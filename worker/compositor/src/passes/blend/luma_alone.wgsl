// Luma of planes in the canvas' matrix: at most stretched.

fn luma_at(at: vec2f) -> f32 {
    return textureSampleLevel(luma_plane, linear, at, 0.0).x * params.color[0].x + params.color[0].w;
}
