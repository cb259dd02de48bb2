// Blurs columns: four cells of two rows from the rows up to `radius` above and below.

struct Two {
    upper: vec4f,
    lower: vec4f,
}

fn added(sum: Two, word: u32, weight: vec4f) -> Two {
    let cell = bytes(word);
    return Two(sum.upper + cell * weight.x, sum.lower + cell * weight.y);
}

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y * 2u;
    var a = Two(vec4f(0.0), vec4f(0.0));
    var b = a;
    var c = a;
    var d = a;
    let first = row * params.rows.x + id.x;
    let rows = params.rows.z * 2u + 2u;
    for (var j = 0u; j < rows; j++) {
        let word = cells[first + j * params.rows.x];
        let weight = params.weights[j];
        a = added(a, word.x, weight);
        b = added(b, word.y, weight);
        c = added(c, word.z, weight);
        d = added(d, word.w, weight);
    }
    let out = row * params.rows.y + id.x;
    blurred[out] = vec4<u32>(pack(a.upper), pack(b.upper), pack(c.upper), pack(d.upper));
    blurred[out + params.rows.y] = vec4<u32>(pack(a.lower), pack(b.lower), pack(c.lower), pack(d.lower));
}
