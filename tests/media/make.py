#!/usr/bin/env python3
"""Makes the media of the demo, the bench and the tests: nothing is downloaded, nothing is kept in the tree.

    python3 tests/media/make.py FOLDER [NAME ...]

Each NAME of `RECIPES` is an ffmpeg command line without its output; a file that exists already is left as it is.
"""

import os
import subprocess
import sys

# A moving picture with detail at every scale, a little grain, and a tune of three voices.
FRACTAL = "mandelbrot=size={size}:rate={rate}:maxiter=120:end_scale=0.05:end_pts={end},gblur=sigma=0.5"
TUNE = (
    "aevalsrc='0.20*sin(2*PI*t*(220+110*floor(mod(t*2,4))))*exp(-3*mod(t*2,1))"
    "+0.15*sin(2*PI*t*(330+55*floor(mod(t,3))))*exp(-2*mod(t,1))+0.10*sin(2*PI*110*t)':s=48000:c=stereo:d={seconds}"
)
X264 = "-c:v libx264 -preset veryfast -crf 18 -pix_fmt yuv420p -colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv"


def fractal(size, rate, seconds, extra=""):
    """A zoom into the Mandelbrot set with sound, H.264 and AAC in MP4."""
    source = FRACTAL.format(size=size, rate=rate, end=rate * seconds)
    return (
        f"-f lavfi -i {source},noise=alls=1:allf=t,format=yuv420p -f lavfi -i {TUNE.format(seconds=seconds)} "
        f"-t {seconds} {X264} {extra} -c:a aac -b:a 160k -shortest"
    )


def photo(seed, size):
    """A still with soft light, round shapes and fine grain, in another colour for each seed."""
    hue = seed * 52
    picture = (
        "128+60*sin(X/W*3+{s})+40*sin(hypot(X-W*0.6,Y-H*0.4)/W*30)*exp(-3*hypot(X-W*0.6,Y-H*0.4)/W)"
        "+25*sin(Y/H*9+3*sin(X/W*5))"
    ).format(s=seed)
    source = f"nullsrc=size=600x400,format=yuv444p,geq=lum='{picture}':cb='128+40*sin(X/W*2+{seed})':cr='128+40*cos(Y/H*2+{seed})'"
    return f"-f lavfi -i {source},hue=h={hue},scale={size}:flags=bicubic,noise=alls=6:allf=t -frames:v 1 -q:v 2"


RECIPES = {
    "clip.mp4": fractal("1280x720", 30, 6),
    "photo.jpg": photo(7, "2000:1333"),
    "music.m4a": f"-f lavfi -i {TUNE.format(seconds=12)} -c:a aac -b:a 160k",
    # The bench: two clips, six photographs.
    "bench_a.mp4": fractal("1280x720", 30, 12, "-g 60"),
    "bench_b.mp4": "-f lavfi -i testsrc2=size=1280x720:rate=30,noise=alls=4:allf=t,format=yuv420p "
    f"-f lavfi -i {TUNE.format(seconds=12)} -t 12 {X264} -g 60 -c:a aac -b:a 160k -shortest",
    **{f"bench_{n}.jpg": photo(n, "2400:1600") for n in range(1, 7)},
}


def make(folder, names):
    """Makes the named files in `folder` and returns their paths."""
    os.makedirs(folder, exist_ok=True)
    paths = []
    for name in names:
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            # Written aside and renamed: an interrupted run leaves no half file behind. Bit-exact: no dates inside.
            part = os.path.join(folder, "making." + name)
            command = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
            command += split(RECIPES[name]) + ["-fflags", "+bitexact", "-flags:v", "+bitexact", part]
            subprocess.run(command, check=True)
            os.replace(part, path)
        paths.append(path)
    return paths


def split(recipe):
    """The arguments of a recipe: separated by blanks, none of which stands inside an argument."""
    return recipe.split()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for made in make(sys.argv[1], sys.argv[2:] or list(RECIPES)):
        print(made)
