// A workgroup is one tile of 64x16 pixels; an invocation paints 16x2 of them.

@group(0) @binding(1) var<storage, read> tiles: array<u32>;

fn place(group: u32, lane: u32) -> vec2<u32> {
    let tile = tiles[params.first_tile + group];
    let x = (tile & 0xffffu) * 64u + (lane & 3u) * 16u;
    let y = (tile >> 16u) * 16u + (lane >> 2u) * 2u;
    return vec2<u32>(x, y);
}
