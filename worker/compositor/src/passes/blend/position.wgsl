// Where canvas positions lie in a texture, 0 to 1. Affine: a pixel further is a constant step further.

fn position(p: vec2f) -> vec2f {
    return vec2f(dot(params.texel_x.xy, p) + params.texel_x.z, dot(params.texel_y.xy, p) + params.texel_y.z);
}

fn step_right() -> vec2f {
    return vec2f(params.texel_x.x, params.texel_y.x);
}

fn step_down() -> vec2f {
    return vec2f(params.texel_x.y, params.texel_y.y);
}
