// Source: packed premultiplied texels in the canvas' colour space, bilinear.

@group(0) @binding(2) var texels: texture_2d<f32>;
@group(0) @binding(3) var linear: sampler;

// The picture at a texture position, premultiplied, 0 to 255, opacity multiplied in.
fn sampled(at: vec2f) -> vec4f {
    return textureSampleLevel(texels, linear, limited(at), 0.0) * (255.0 * params.opacity);
}
