// Sink: paints quads over an I420 canvas in place. Chroma is blended once per quad with alpha at the chroma site.

@group(0) @binding(8) var<storage, read_write> luma: array<vec4<u32>>;
@group(0) @binding(9) var<storage, read_write> chroma: array<vec2<u32>>;

// Eight pixels of two rows and their four chroma samples; `left` is what the column before gave.
struct Half {
    top: vec2<u32>,
    bottom: vec2<u32>,
    u: u32,
    v: u32,
    left: vec3f,
}

fn painted(x: f32, y: f32, under: Half) -> Half {
    let over = quads(x, y, under.left);
    let q0 = over.q0;
    let q1 = over.q1;
    let q2 = over.q2;
    let q3 = over.q3;
    let top0 = bytes(under.top.x) * (1.0 - vec4f(q0.a.xy, q1.a.xy)) + vec4f(q0.y.xy, q1.y.xy);
    let top1 = bytes(under.top.y) * (1.0 - vec4f(q2.a.xy, q3.a.xy)) + vec4f(q2.y.xy, q3.y.xy);
    let bottom0 = bytes(under.bottom.x) * (1.0 - vec4f(q0.a.zw, q1.a.zw)) + vec4f(q0.y.zw, q1.y.zw);
    let bottom1 = bytes(under.bottom.y) * (1.0 - vec4f(q2.a.zw, q3.a.zw)) + vec4f(q2.y.zw, q3.y.zw);
    let clear = 1.0 - vec4f(q0.site.z, q1.site.z, q2.site.z, q3.site.z);
    let u = bytes(under.u) * clear + vec4f(q0.site.x, q1.site.x, q2.site.x, q3.site.x);
    let v = bytes(under.v) * clear + vec4f(q0.site.y, q1.site.y, q2.site.y, q3.site.y);
    return Half(
        vec2<u32>(pack(top0), pack(top1)),
        vec2<u32>(pack(bottom0), pack(bottom1)),
        pack(u),
        pack(v),
        q3.right,
    );
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = place(group.x, lane);
    let top_at = at.y * params.row_words + at.x / 16u;
    let bottom_at = top_at + params.row_words;
    let u_at = at.y / 2u * params.chroma_row_words + at.x / 16u;
    let v_at = u_at + params.chroma_plane_words;
    var top = luma[top_at];
    var bottom = luma[bottom_at];
    var u = chroma[u_at];
    var v = chroma[v_at];

    let y = f32(at.y) + 0.5;
    // The canvas' first column stands for the one before it.
    var left = column(max(f32(at.x) - 0.5, 0.5), y);
    // Twice eight pixels: unrolled it would take twice as long to compile.
    for (var i = 0u; i < 2u; i++) {
        let first = i == 0u;
        let under = Half(
            select(top.zw, top.xy, first),
            select(bottom.zw, bottom.xy, first),
            select(u.y, u.x, first),
            select(v.y, v.x, first),
            left,
        );
        let over = painted(f32(at.x + i * 8u) + 0.5, y, under);
        left = over.left;
        if first {
            top = vec4<u32>(over.top, top.zw);
            bottom = vec4<u32>(over.bottom, bottom.zw);
            u.x = over.u;
            v.x = over.v;
        } else {
            top = vec4<u32>(top.xy, over.top);
            bottom = vec4<u32>(bottom.xy, over.bottom);
            u.y = over.u;
            v.y = over.v;
        }
    }
    luma[top_at] = top;
    luma[bottom_at] = bottom;
    chroma[u_at] = u;
    chroma[v_at] = v;
}
