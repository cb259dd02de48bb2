// Source: quads of planes on a 4:2:0 canvas. Luma is sampled at every pixel, chroma once at the chroma site: grey is
// grey in every Y'CbCr, so converted chroma never depends on luma.

// Only alpha is filtered over columns; chroma has its own resolution already.
fn column(x: f32, y: f32) -> vec3f {
    return vec3f(0.0, 0.0, (coverage(vec2f(x, y)) + coverage(vec2f(x, y + 1.0))) * params.opacity);
}

fn quad(x: f32, y: f32, left: vec3f) -> Quad {
    let tl = position(vec2f(x, y));
    let bl = tl + step_down();
    let sampled = vec4f(
        luma_at(limited(tl)),
        luma_at(limited(tl + step_right())),
        luma_at(limited(bl)),
        luma_at(limited(bl + step_right())),
    );
    let c = chroma_at(limited(0.5 * (tl + bl)));
    let u = dot(params.color[1].yz, c) + params.color[1].w;
    let v = dot(params.color[2].yz, c) + params.color[2].w;
    let a = params.opacity * vec4f(
        coverage(vec2f(x, y)),
        coverage(vec2f(x + 1.0, y)),
        coverage(vec2f(x, y + 1.0)),
        coverage(vec2f(x + 1.0, y + 1.0)),
    );
    let right = vec3f(0.0, 0.0, a.y + a.w);
    let site_a = 0.125 * (left.z + right.z) + 0.25 * (a.x + a.z);
    let site = vec3f(clamp(vec2f(u, v), vec2f(0.0), vec2f(255.0)) * site_a, site_a);
    return Quad(clamp(sampled, vec4f(0.0), vec4f(255.0)) * a, a, site, right);
}
