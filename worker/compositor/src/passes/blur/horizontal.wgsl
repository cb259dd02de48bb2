// Blurs rows: four cells of one row from the cells up to `radius` (a multiple of 4) on either side.

struct Four {
    a: vec4f,
    b: vec4f,
    c: vec4f,
    d: vec4f,
}

fn added(sum: Four, word: u32, weight: vec4f) -> Four {
    let cell = bytes(word);
    return Four(
        sum.a + cell * weight.x,
        sum.b + cell * weight.y,
        sum.c + cell * weight.z,
        sum.d + cell * weight.w,
    );
}

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    var sum = Four(vec4f(0.0), vec4f(0.0), vec4f(0.0), vec4f(0.0));
    let first = id.y * params.rows.x + id.x;
    let words = params.rows.z / 2u + 1u;
    for (var i = 0u; i < words; i++) {
        let word = cells[first + i];
        sum = added(sum, word.x, params.weights[i * 4u]);
        sum = added(sum, word.y, params.weights[i * 4u + 1u]);
        sum = added(sum, word.z, params.weights[i * 4u + 2u]);
        sum = added(sum, word.w, params.weights[i * 4u + 3u]);
    }
    blurred[id.y * params.rows.y + id.x] = vec4<u32>(pack(sum.a), pack(sum.b), pack(sum.c), pack(sum.d));
}
