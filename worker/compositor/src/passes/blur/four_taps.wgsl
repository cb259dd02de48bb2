// Cells larger than the picture's texels.

fn cell(corner: vec2f) -> vec4f {
    let upper = picture(corner + vec2f(0.25, 0.25)) + picture(corner + vec2f(0.75, 0.25));
    let lower = picture(corner + vec2f(0.25, 0.75)) + picture(corner + vec2f(0.75, 0.75));
    return 0.25 * (upper + lower);
}
