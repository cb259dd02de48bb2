// Quads: 2x2 pixels of a draw and what their chroma site needs of it.

struct Quad {
    // Top left, top right, bottom left, bottom right, premultiplied; alpha 0 to 1.
    y: vec4f,
    a: vec4f,
    // U, V and alpha at the chroma site.
    site: vec3f,
    // U, V and alpha of the right column, both rows added: what the next quad's chroma needs.
    right: vec3f,
}

// Eight pixels of two rows.
struct Quads {
    q0: Quad,
    q1: Quad,
    q2: Quad,
    q3: Quad,
}
