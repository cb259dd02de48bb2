// Tiles that a side crosses, of the draw or of the part of the picture it shows.

// How much of the pixel around `p` lies inside the draw's sides: for upright sides the exact area.
fn coverage(p: vec2f) -> f32 {
    let u = dot(params.edge_u.xy, p) + params.edge_u.z;
    let v = dot(params.edge_v.xy, p) + params.edge_v.z;
    let near = saturate(vec2f(u, v) + params.slack.xy + 0.5);
    let far = saturate(vec2f(params.edge_u.w - u, params.edge_v.w - v) + params.slack.zw + 0.5);
    let both = saturate(near + far - 1.0);
    return both.x * both.y;
}

// A texture position kept where samples reach nothing outside the rectangle shown.
fn limited(at: vec2f) -> vec2f {
    return clamp(at, params.texel_clamp.xy, params.texel_clamp.zw);
}
