// Sink: writes samples into a blur's grid, whose cells are the "canvas pixels" of the source. Guards around the grid
// hold the repeated edge or nothing, so that the blurs never ask where they are. The grid is padded to whole workgroups
// instead of ending them early: on lavapipe a return masks everything after it, at twice the cost.

@group(0) @binding(8) var<storage, read_write> grid: array<u32>;

fn picture(p: vec2f) -> vec4f {
    return sampled(position(p)) * coverage(p);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    grid[id.y * params.grid_row + id.x] = pack(cell(vec2f(id.xy)));
}
