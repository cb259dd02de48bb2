// Four quads in a row, one after another.

fn quads(x: f32, y: f32, left: vec3f) -> Quads {
    let q0 = quad(x, y, left);
    let q1 = quad(x + 2.0, y, q0.right);
    let q2 = quad(x + 4.0, y, q1.right);
    let q3 = quad(x + 6.0, y, q2.right);
    return Quads(q0, q1, q2, q3);
}
