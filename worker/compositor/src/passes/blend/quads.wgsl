// Quads from any source of bilinear samples. Chroma is filtered 1-2-1 over the columns around its site, which is the quad's left
// column, and 1-1 over its rows.

// U, V and alpha of one column of two pixels, added.
fn column(x: f32, y: f32) -> vec3f {
    let top = position(vec2f(x, y));
    let both = sampled(top) * coverage(vec2f(x, y))
        + sampled(top + step_down()) * coverage(vec2f(x, y + 1.0));
    return vec3f(both.yz, both.w * (1.0 / 255.0));
}

fn quad(x: f32, y: f32, left: vec3f) -> Quad {
    let top = position(vec2f(x, y));
    let bottom = top + step_down();
    let tl = sampled(top) * coverage(vec2f(x, y));
    let tr = sampled(top + step_right()) * coverage(vec2f(x + 1.0, y));
    let bl = sampled(bottom) * coverage(vec2f(x, y + 1.0));
    let br = sampled(bottom + step_right()) * coverage(vec2f(x + 1.0, y + 1.0));
    let a = vec4f(tl.w, tr.w, bl.w, br.w) * (1.0 / 255.0);
    let middle = vec3f(tl.yz + bl.yz, a.x + a.z);
    let right = vec3f(tr.yz + br.yz, a.y + a.w);
    return Quad(vec4f(tl.x, tr.x, bl.x, br.x), a, 0.125 * (left + right) + 0.25 * middle, right);
}
