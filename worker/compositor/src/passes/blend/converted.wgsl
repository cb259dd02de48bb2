// Source: planes in any Y'CbCr, converted to the canvas' colour space at every pixel.

// The picture at a texture position, premultiplied, 0 to 255, opacity multiplied in.
fn sampled(at: vec2f) -> vec4f {
    let place = limited(at);
    let c = vec4f(textureSampleLevel(luma_plane, linear, place, 0.0).x, chroma_at(place), 1.0);
    let converted = vec3f(dot(params.color[0], c), dot(params.color[1], c), dot(params.color[2], c));
    return vec4f(clamp(converted, vec3f(0.0), vec3f(255.0)), 255.0) * params.opacity;
}
