// Source: packed premultiplied texels, one to a pixel, with a transparent texel around them; quads by gathering.

@group(0) @binding(2) var texels: texture_2d<u32>;
@group(0) @binding(3) var nearest: sampler;

// The packed texels of the quad whose top left pixel has its centre at (x, y): tl, tr, bl, br.
fn gathered(x: f32, y: f32) -> vec4<u32> {
    // The corner between the four, one texel further because of the border.
    let corner = vec2f(x, y) - vec2f(params.origin) + 1.5;
    return textureGather(0, texels, nearest, corner * vec2f(params.texel_x.x, params.texel_y.x)).wzxy;
}

fn column(x: f32, y: f32) -> vec3f {
    let g = gathered(x, y).xz;
    let sum = ((g >> vec2<u32>(8u)) & vec2<u32>(255u));
    let v = ((g >> vec2<u32>(16u)) & vec2<u32>(255u));
    let a = g >> vec2<u32>(24u);
    let opacity = params.opacity;
    return vec3f(f32(sum.x + sum.y), f32(v.x + v.y), f32(a.x + a.y) * (1.0 / 255.0)) * opacity;
}

fn quad(x: f32, y: f32, left: vec3f) -> Quad {
    let g = gathered(x, y);
    let opacity = params.opacity;
    let luma = vec4f(g & vec4<u32>(255u)) * opacity;
    let u = vec4f((g >> vec4<u32>(8u)) & vec4<u32>(255u)) * opacity;
    let v = vec4f((g >> vec4<u32>(16u)) & vec4<u32>(255u)) * opacity;
    let a = vec4f(g >> vec4<u32>(24u)) * (opacity * (1.0 / 255.0));
    let middle = vec3f(u.x + u.z, v.x + v.z, a.x + a.z);
    let right = vec3f(u.y + u.w, v.y + v.w, a.y + a.w);
    return Quad(luma, a, 0.125 * (left + right) + 0.25 * middle, right);
}
