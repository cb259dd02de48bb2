// Cells as large as the picture's texels.

fn cell(corner: vec2f) -> vec4f {
    return picture(corner + 0.5);
}
