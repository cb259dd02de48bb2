// Source: a blur's grid whose texels are whole squares of `step` pixels (4, 8 or 16), interpolated. A quad never crosses
// the middle of such a square, and eight pixels lie between at most four columns of texels.

@group(0) @binding(2) var<storage, read> grid: array<u32>;

// A column of the grid, interpolated for two rows of pixels.
struct Column {
    top: vec4f,
    bottom: vec4f,
}

fn load(at: u32, t: f32, per_texel: f32) -> Column {
    let upper = bytes(grid[at]);
    let slope = bytes(grid[at + params.grid_row]) - upper;
    let top = upper + slope * t;
    return Column(top, top + slope * per_texel);
}

fn chosen(a: Column, b: Column, first: bool) -> Column {
    return Column(select(b.top, a.top, first), select(b.bottom, a.bottom, first));
}

// Filtering chroma over columns would change nothing in a picture this smooth: it is the mean of the left column.
fn between(left: Column, right: Column, t: f32, per_texel: f32) -> Quad {
    let top_slope = (right.top - left.top) * params.opacity;
    let bottom_slope = (right.bottom - left.bottom) * params.opacity;
    let a0 = left.top * params.opacity + top_slope * t;
    let b0 = left.bottom * params.opacity + bottom_slope * t;
    let a1 = a0 + top_slope * per_texel;
    let b1 = b0 + bottom_slope * per_texel;
    let a = vec4f(a0.w, a1.w, b0.w, b1.w) * (1.0 / 255.0);
    let site = (a0.yzw + b0.yzw) * vec3f(0.5, 0.5, 0.5 / 255.0);
    return Quad(vec4f(a0.x, a1.x, b0.x, b1.x), a, site, vec3f(0.0));
}

fn column(x: f32, y: f32) -> vec3f {
    return vec3f(0.0);
}

fn quads(x: f32, y: f32, left: vec3f) -> Quads {
    let per_texel = 1.0 / f32(params.step);
    let row_at = y * per_texel - 0.5;
    let row = floor(row_at);
    let t = row_at - row;
    let place_at = x * per_texel - 0.5;
    let place = floor(place_at);
    let first = u32(i32(row) + params.origin.y) * params.grid_row + u32(i32(place) + params.origin.x);
    let c0 = load(first, t, per_texel);
    let c1 = load(first + 1u, t, per_texel);
    let c2 = load(first + 2u, t, per_texel);
    let c3 = load(first + 3u, t, per_texel);
    // The places of the quads in texels: step 4: 0 1 1 2, step 8: 0 0 1 1, step 16: 0 0 0 0.
    let by_four = params.step == 4u;
    let by_sixteen = params.step == 16u;
    let left2 = chosen(c0, c1, by_sixteen);
    let right2 = chosen(c1, c2, by_sixteen);
    let pair = 2.0 * per_texel;
    let t0 = place_at - place;
    let t1 = fract(place_at + pair);
    let t2 = fract(place_at + 2.0 * pair);
    let t3 = fract(place_at + 3.0 * pair);
    return Quads(
        between(c0, c1, t0, per_texel),
        between(chosen(c1, c0, by_four), chosen(c2, c1, by_four), t1, per_texel),
        between(left2, right2, t2, per_texel),
        between(chosen(c2, left2, by_four), chosen(c3, right2, by_four), t3, per_texel),
    );
}
