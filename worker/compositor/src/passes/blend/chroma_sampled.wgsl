// Chroma by the sampler, whose software form rounds to 8 bits.

fn chroma_at(at: vec2f) -> vec2f {
    return textureSampleLevel(chroma_plane, linear, chroma_position(at), 0.0).xy;
}
