//! The reference: the same picture in 64-bit floats, pixel by pixel, without rounding between layers.
//!
//! Pictures are halved by averaging until less than a factor of two remains, then sampled bilinearly at exact positions,
//! clamped to their rectangle. Coverage is the area of the pixel inside upright sides, or the distance from slanted ones.
//! Chroma is composited at its sites, left and between two rows, where a layer's colour and alpha are filtered 1-2-1
//! across and 1-1 down. Blurs are direct Gaussian sums over the layer at its own resolution.

use composition::{Color, Size};
use compositor::{Alpha, ColorMatrix, ColorRange};
use scene::{Affine, Blur, Layer, Scene};

use crate::pictures::{Gallery, Stored, index};

/// Samples in rows without gaps.
#[derive(Debug, Clone)]
pub(crate) struct Plane {
    pub(crate) width: usize,
    pub(crate) samples: Vec<f64>,
}

type Texel = [f64; 4];

fn luma_weights(matrix: ColorMatrix) -> (f64, f64) {
    match matrix {
        ColorMatrix::Bt601 => (0.299, 0.114),
        ColorMatrix::Bt709 => (0.2126, 0.0722),
        ColorMatrix::Bt2020 => (0.2627, 0.0593),
    }
}

fn rgb_of([y, u, v]: [f64; 3], matrix: ColorMatrix, range: ColorRange) -> [f64; 3] {
    let (kr, kb) = luma_weights(matrix);
    let (y, u, v) = match range {
        ColorRange::Limited => ((y - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0),
        ColorRange::Full => (y / 255.0, (u - 128.0) / 255.0, (v - 128.0) / 255.0),
    };
    let (r, b) = (y + 2.0 * (1.0 - kr) * v, y + 2.0 * (1.0 - kb) * u);
    [r, (y - kr * r - kb * b) / (1.0 - kr - kb), b].map(|value| value * 255.0)
}

fn yuv_of(rgb: [f64; 3]) -> [f64; 3] {
    let (kr, kb) = luma_weights(ColorMatrix::Bt709);
    let [r, g, b] = rgb.map(|value| value / 255.0);
    let y = kr * r + (1.0 - kr - kb) * g + kb * b;
    [16.0 + 219.0 * y, 128.0 + 112.0 * (b - y) / (1.0 - kb), 128.0 + 112.0 * (r - y) / (1.0 - kr)]
}

/// A picture of four channels, or of fewer in the first ones.
#[derive(Debug, Clone)]
struct Grid {
    width: usize,
    height: usize,
    texels: Vec<Texel>,
}

impl Grid {
    fn new((width, height): (u32, u32), texel: impl Fn(usize) -> Texel) -> Grid {
        let (width, height) = (width as usize, height as usize);
        Grid { width, height, texels: (0..width * height).map(texel).collect() }
    }

    fn at(&self, x: i64, y: i64) -> Texel {
        let x = x.clamp(0, self.width as i64 - 1) as usize;
        let y = y.clamp(0, self.height as i64 - 1) as usize;
        self.texels[y * self.width + x]
    }

    /// The means of blocks of `2^x` by `2^y` texels, of what there is of them at the ends.
    fn level(&self, (x, y): (u32, u32)) -> Grid {
        let (across, down) = (1_usize << x, 1_usize << y);
        let (width, height) = (self.width.div_ceil(across), self.height.div_ceil(down));
        Grid::new((width as u32, height as u32), |at| {
            let (left, top) = (at % width * across, at / width * down);
            let columns = left..(left + across).min(self.width);
            let rows = top..(top + down).min(self.height);
            let block = rows.flat_map(|y| columns.clone().map(move |x| self.texels[y * self.width + x]));
            mean(&block.collect::<Vec<Texel>>())
        })
    }

    /// Bilinear; texel (0, 0) covers 0…1.
    fn sample(&self, x: f64, y: f64) -> Texel {
        let (left, top) = ((x - 0.5).floor(), (y - 0.5).floor());
        let (tx, ty) = (x - 0.5 - left, y - 0.5 - top);
        let (left, top) = (left as i64, top as i64);
        let across = |row| mix(self.at(left, row), self.at(left + 1, row), tx);
        mix(across(top), across(top + 1), ty)
    }
}

fn mix(a: Texel, b: Texel, t: f64) -> Texel {
    std::array::from_fn(|i| a[i] * (1.0 - t) + b[i] * t)
}

fn mean(texels: &[Texel]) -> Texel {
    std::array::from_fn(|i| texels.iter().map(|texel| texel[i]).sum::<f64>() / texels.len() as f64)
}

/// A layer ready to be asked for canvas positions.
struct Painted<'a> {
    layer: &'a Layer,
    back: Affine,
    level: (u32, u32),
    first: Grid,
    chroma: Option<Grid>,
    /// From what the grids hold to (Y or R, U or G, V or B, A), premultiplied.
    convert: Box<dyn Fn(Texel) -> Texel>,
    /// Whether chroma is sampled at its site instead of filtered.
    at_site: bool,
}

impl<'a> Painted<'a> {
    fn new(layer: &'a Layer, gallery: &Gallery, yuv: bool) -> Painted<'a> {
        let back = layer.transform.inverse().expect("a layer is not singular");
        let Affine { a, b, c, d, .. } = layer.transform;
        let halvings = |pixels: f64, shown: f64| (pixels / shown).log2().max(0.0).floor() as u32;
        let level =
            (halvings(layer.source_rect.width, a.hypot(b)), halvings(layer.source_rect.height, c.hypot(d)));
        let level = if layer.blur.is_some() { (0, 0) } else { level };
        match &gallery.0[index(&layer.source)] {
            Stored::Planar { size, planes, matrix, range } => {
                let value = |plane: usize, at: usize| f64::from(planes[plane][at]);
                let luma = Grid::new(*size, |at| [value(0, at), 0.0, 0.0, 0.0]);
                let chroma_size = (size.0.div_ceil(2), size.1.div_ceil(2));
                let chroma = Grid::new(chroma_size, |at| [value(1, at), value(2, at), 0.0, 0.0]);
                let (matrix, range) = (*matrix, *range);
                let convert = move |[y, u, v, _]: Texel| {
                    let rgb = rgb_of([y, u, v], matrix, range);
                    let [a, b, c] = if yuv { yuv_of(rgb) } else { rgb };
                    [a, b, c, 1.0]
                };
                Painted {
                    layer,
                    back,
                    level,
                    first: luma.level(level),
                    chroma: Some(chroma.level(level)),
                    convert: Box::new(convert),
                    at_site: yuv && layer.blur.is_none(),
                }
            }
            Stored::Rgba { size, pixels, alpha, .. } => {
                let first = Grid::new(*size, |at| {
                    let [r, g, b, a] = std::array::from_fn(|i| f64::from(pixels[4 * at + i]));
                    let a = if *alpha == Alpha::Opaque { 1.0 } else { a / 255.0 };
                    let associate = if *alpha == Alpha::Unassociated { a } else { 1.0 };
                    [r * associate, g * associate, b * associate, a]
                });
                let convert = move |[r, g, b, a]: Texel| {
                    if !yuv || a == 0.0 {
                        return [r, g, b, a];
                    }
                    let [y, u, v] = yuv_of([r / a, g / a, b / a]);
                    [y * a, u * a, v * a, a]
                };
                let first = first.level(level);
                Painted {
                    layer,
                    back,
                    level,
                    first,
                    chroma: None,
                    convert: Box::new(convert),
                    at_site: false,
                }
            }
        }
    }

    /// The picture at stored position (x, y), without coverage and opacity.
    fn picture(&self, x: f64, y: f64) -> Texel {
        let (sx, sy) = (f64::from(1_u32 << self.level.0), f64::from(1_u32 << self.level.1));
        let rect = self.layer.source_rect;
        let clamp = |at: f64, start: f64, length: f64| {
            if length < 1.0 { start + length / 2.0 } else { at.clamp(start + 0.5, start + length - 0.5) }
        };
        let (x, y) =
            (clamp(x / sx, rect.x / sx, rect.width / sx), clamp(y / sy, rect.y / sy, rect.height / sy));
        let mut texel = self.first.sample(x, y);
        if let Some(chroma) = &self.chroma {
            // Left-sited: luma position x is chroma position x/2 + 1/4 in whole pixels.
            let [u, v, ..] = chroma.sample(x / 2.0 + 0.25 / sx, y / 2.0);
            (texel[1], texel[2]) = (u, v);
        }
        (self.convert)(texel)
    }

    fn at(&self, x: f64, y: f64) -> Texel {
        let (u, v) = self.back.apply(x, y);
        let rect = self.layer.source_rect;
        let strength = self.layer.opacity * coverage(self.back, x, y);
        self.picture(rect.x + u * rect.width, rect.y + v * rect.height).map(|value| value * strength)
    }
}

fn coverage(back: Affine, x: f64, y: f64) -> f64 {
    let (u, v) = back.apply(x, y);
    let axis = |at: f64, slope: f64| {
        let near = (at / slope + 0.5).clamp(0.0, 1.0);
        let far = ((1.0 - at) / slope + 0.5).clamp(0.0, 1.0);
        (near + far - 1.0).max(0.0)
    };
    axis(u, back.a.hypot(back.c)) * axis(v, back.b.hypot(back.d))
}

/// A blurred layer whose pixels are canvas pixels: everything of it, `margin` pixels around it included.
fn blurred(painted: &Painted<'_>, blur: Blur) -> impl Fn(i64, i64) -> Texel + use<> {
    let (width, height) = (blur.along_u.round() as i64, blur.along_v.round() as i64);
    let rect = painted.layer.source_rect;
    let (across, down) = (rect.width / blur.along_u, rect.height / blur.along_v);
    let source = Grid::new((width as u32, height as u32), |at| {
        let (x, y) = ((at as i64 % width) as f64 + 0.5, (at as i64 / width) as f64 + 0.5);
        painted.picture(rect.x + x * across, rect.y + y * down)
    });
    let radius = (4.0 * blur.sigma).ceil() as i64;
    let weights: Vec<f64> =
        (-radius..=radius).map(|d| (-((d * d) as f64) / (2.0 * blur.sigma * blur.sigma)).exp()).collect();
    let total: f64 = weights.iter().sum();
    let outside = |at: i64, length: i64, near: bool, far: bool| (at < 0 && !near) || (at >= length && !far);
    let repeat = blur.repeat;
    let margin = radius + 1;
    let sum = |texel: &dyn Fn(i64) -> Texel| -> Texel {
        let mut sum = [0.0; 4];
        for (d, weight) in (-radius..=radius).zip(&weights) {
            let texel = texel(d);
            sum = std::array::from_fn(|i| sum[i] + texel[i] * weight / total);
        }
        sum
    };
    let (wide, tall) = ((width + 2 * margin) as usize, (height + 2 * margin) as usize);
    let rows = Grid::new((wide as u32, tall as u32), |at| {
        let (x, y) = ((at % wide) as i64 - margin, (at / wide) as i64 - margin);
        if outside(y, height, repeat.top, repeat.bottom) {
            return [0.0; 4];
        }
        sum(&|d| {
            if outside(x + d, width, repeat.left, repeat.right) { [0.0; 4] } else { source.at(x + d, y) }
        })
    });
    let both = Grid::new((wide as u32, tall as u32), |at| {
        let (x, y) = ((at % wide) as i64, (at / wide) as i64);
        sum(&|d| rows.at(x, y + d))
    });
    move |x, y| {
        let inside = (-margin..width + margin).contains(&x) && (-margin..height + margin).contains(&y);
        if inside { both.at(x + margin, y + margin) } else { [0.0; 4] }
    }
}

/// Every layer as a function of the canvas pixel (its centre is meant), and whether chroma is point-sampled.
type Source<'a> = (Box<dyn Fn(i64, i64) -> Texel + 'a>, Option<Painted<'a>>);

fn sources<'a>(scene: &'a Scene, gallery: &Gallery, yuv: bool) -> Vec<Source<'a>> {
    let source = |layer: &'a Layer| -> Source<'a> {
        let painted = Painted::new(layer, gallery, yuv);
        if let Some(blur) = layer.blur {
            let place = (layer.transform.e.round() as i64, layer.transform.f.round() as i64);
            let picture = blurred(&painted, blur);
            let opacity = layer.opacity;
            return (
                Box::new(move |x, y| picture(x - place.0, y - place.1).map(|value| value * opacity)),
                None,
            );
        }
        let at_site = painted.at_site.then(|| Painted::new(layer, gallery, yuv));
        (Box::new(move |x, y| painted.at(x as f64 + 0.5, y as f64 + 0.5)), at_site)
    };
    scene.layers.iter().map(source).collect()
}

fn over(under: f64, value: f64, alpha: f64) -> f64 {
    value + under * (1.0 - alpha)
}

/// Y, U and V of a scene.
pub(crate) fn i420(scene: &Scene, gallery: &Gallery) -> [Plane; 3] {
    let Size { width, height } = scene.canvas;
    let Color { r, g, b, .. } = scene.background;
    let background = yuv_of([r, g, b].map(f64::from));
    let (w, h) = (width as usize, height as usize);
    let plane =
        |width: usize, height: usize, value: f64| Plane { width, samples: vec![value; width * height] };
    let [mut y, mut u, mut v] =
        [plane(w, h, background[0]), plane(w / 2, h / 2, background[1]), plane(w / 2, h / 2, background[2])];
    for (at, sited) in sources(scene, gallery, true) {
        let texels: Vec<Texel> = (0..w * h).map(|i| at((i % w) as i64, (i / w) as i64)).collect();
        for (under, texel) in y.samples.iter_mut().zip(&texels) {
            *under = over(*under, texel[0], texel[3]);
        }
        for (i, (u, v)) in u.samples.iter_mut().zip(v.samples.iter_mut()).enumerate() {
            let (x, y) = (2 * (i % (w / 2)), 2 * (i / (w / 2)));
            let column = |x: usize| mean(&[texels[y * w + x], texels[(y + 1) * w + x]]);
            // Before the first column of the canvas the first stands.
            let (left, middle, right) = (column(x.saturating_sub(1)), column(x), column(x + 1));
            let mut site: Texel = std::array::from_fn(|i| (left[i] + right[i]) / 4.0 + middle[i] / 2.0);
            if let Some(sited) = &sited {
                let (back, rect) = (sited.back, sited.layer.source_rect);
                let (s, t) = back.apply(x as f64 + 0.5, y as f64 + 1.0);
                let chroma = sited.picture(rect.x + s * rect.width, rect.y + t * rect.height);
                (site[1], site[2]) = (chroma[1] * site[3], chroma[2] * site[3]);
            }
            *u = over(*u, site[1], site[3]);
            *v = over(*v, site[2], site[3]);
        }
    }
    [y, u, v]
}

/// Red, green, blue flattened on black and an opaque alpha, interleaved.
pub(crate) fn rgba(scene: &Scene, gallery: &Gallery) -> Plane {
    let Size { width, height } = scene.canvas;
    let Color { r, g, b, a } = scene.background;
    let alpha = f64::from(a) / 255.0;
    let (w, h) = (width as usize, height as usize);
    let background = [f64::from(r) * alpha, f64::from(g) * alpha, f64::from(b) * alpha];
    let mut pixels = vec![background; w * h];
    for (at, _) in sources(scene, gallery, false) {
        for (i, pixel) in pixels.iter_mut().enumerate() {
            let texel = at((i % w) as i64, (i / w) as i64);
            *pixel = std::array::from_fn(|c| over(pixel[c], texel[c], texel[3]));
        }
    }
    Plane { width: w, samples: pixels.into_iter().flat_map(|[r, g, b]| [r, g, b, 255.0]).collect() }
}
