// The constants of one blur direction. Twin of `Params` in passes/blur.rs.

struct Params {
    // Words of four cells from row to row of the input and of the output; cells on either side; unused.
    rows: vec4<u32>,
    // For the cell at place j before the first output: its weight in the outputs 0, 1, 2 and 3.
    weights: array<vec4f, 64>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> cells: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> blurred: array<vec4<u32>>;

fn bytes(word: u32) -> vec4f {
    return vec4f((vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}

// See passes/blend/params.wgsl.
fn pack(c: vec4f) -> u32 {
    let b = bitcast<vec4<u32>>(c + 8388608.0) & vec4<u32>(255u);
    return b.x | (b.y << 8u) | (b.z << 16u) | (b.w << 24u);
}
