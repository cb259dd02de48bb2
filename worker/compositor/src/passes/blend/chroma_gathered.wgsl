// Chroma interpolated here: conversion to R'G'B' multiplies the sampler's rounding by up to 2.

fn chroma_at(at: vec2f) -> vec2f {
    let size = vec2f(textureDimensions(chroma_plane));
    let texel = chroma_position(at) * size - 0.5;
    let first = floor(texel);
    let t = texel - first;
    let corner = (first + 1.0) / size;
    let u = textureGather(0, chroma_plane, linear, corner);
    let v = textureGather(1, chroma_plane, linear, corner);
    let top = mix(vec2f(u.w, v.w), vec2f(u.z, v.z), t.x);
    let bottom = mix(vec2f(u.x, v.x), vec2f(u.y, v.y), t.x);
    return mix(top, bottom, t.y);
}
