// Tiles where neither the draw's sides nor its picture's matter: all of each pixel is covered, and what bilinear samples
// reach beyond the rectangle shown is what the sampler repeats. Programs of their own, because lavapipe executes both
// sides of every branch.

fn coverage(p: vec2f) -> f32 {
    return 1.0;
}

fn limited(at: vec2f) -> vec2f {
    return at;
}
