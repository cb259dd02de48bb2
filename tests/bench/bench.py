#!/usr/bin/env python3
"""The bench: three reference compositions, rendered by `framelane render` and by the ffmpeg command line in turn.

Both sides encode with openh264 at equal bit rate: ours runs first, ffmpeg is given the bit rate that came out. Every
figure covers the whole process tree, start-up included; the table is written to RESULTS.md beside this file.

    python3 tests/bench/bench.py [--runs 3] [--only A,B,C]
"""

import argparse
import ctypes
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = os.path.join(ROOT, ".bench")
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "media"))

import make  # noqa: E402  (found through the line above)

OURS = os.path.join(ROOT, "target", "debug", "framelane")
FONT = "/usr/share/fonts/opentype/inter/Inter-Bold.otf"
PR_SET_CHILD_SUBREAPER = 36


def text(words, y, size, color="#ffffff", start=0, length=10):
    """A text element across the canvas."""
    return {"type": "text", "text": words, "time": start, "duration": length, "y": y, "height": "15%",
            "font_size": size, "font_weight": 700, "text_color": color, "z_index": 2}


def slide(index, photo):
    """One photograph of the slideshow: 2.5 s, of which half a second fades in over its neighbour."""
    start = index * 2
    end = start + 2.5
    zoom = {"keyframes": [{"time": start, "value": 100, "easing": "linear"}, {"time": end, "value": 110}]}
    fade = {"keyframes": [{"time": start, "value": 0, "easing": "linear"}, {"time": start + 0.5, "value": 100}]}
    return {"type": "image", "id": f"photo{index}", "source_url": photo, "time": start, "duration": 2.5,
            "x_scale": zoom, "y_scale": zoom, "opacity": 100 if index == 0 else fade, "z_index": index}


def compositions(media):
    """The documents, by name."""
    clip, other = (os.path.join(media, name) for name in ("bench_a.mp4", "bench_b.mp4"))
    photos = [os.path.join(media, f"bench_{n}.jpg") for n in range(1, 7)]
    video = {"type": "video", "source_url": clip, "in_point": 1, "out_point": 11}
    return {
        "A": {"width": 1280, "height": 720, "duration": 10, "elements": [video, text("A title", "85%", 64)]},
        "A-plain": {"width": 1280, "height": 720, "duration": 10, "elements": [video]},
        "B": {"width": 1920, "height": 1080, "duration": 12, "elements": [slide(i, p) for i, p in enumerate(photos)]},
        "C": {"width": 1280, "height": 720, "duration": 10, "elements": [
            dict(video, blur=40),
            {"type": "video", "source_url": other, "out_point": 10, "x": "60%", "y": "45%", "width": "50%",
             "height": "50%", "z_rotation": 8, "z_index": 1, "volume": 0},
            text("Picture in picture", "88%", 56), text("three", "12%", 40, "#ffd54a"), text("texts", "24%", 40, "#80d8ff")]},
    }


def draw(words, y, size, color="white"):
    """ffmpeg's drawtext for `text`."""
    return f"drawtext=fontfile={FONT}:text='{words}':fontsize={size}:fontcolor={color}:x=(w-tw)/2:y={y}*h-th/2"


def peers(media):
    """The same jobs as ffmpeg arguments, without encoder and output, by name."""
    clip, other = (os.path.join(media, name) for name in ("bench_a.mp4", "bench_b.mp4"))
    photos = [os.path.join(media, f"bench_{n}.jpg") for n in range(1, 7)]
    slides, inputs = [], []
    for index, photo in enumerate(photos):
        inputs += ["-i", photo]
        # zoompan samples the photograph at its own size, as ours does; its steps are whole pixels.
        zoom = "crop=2400:1350,zoompan=z='1+0.1*on/75':x='iw/2-iw/zoom/2':y='ih/2-ih/zoom/2':d=75:s=1920x1080:fps=30"
        fade = ",format=yuva420p,fade=in:st=0:d=0.5:alpha=1" if index else ""
        slides.append(f"[{index}:v]{zoom}{fade},setpts=PTS+{index * 2}/TB[s{index}]")
    graph = slides + ["color=black:size=1920x1080:rate=30:duration=12[base]", "[base][s0]overlay=eof_action=pass[o0]"]
    for index in range(1, 6):
        graph.append(f"[o{index - 1}][s{index}]overlay=eof_action=pass[o{index}]")
    sigma = 40 / 100 * 0.05 * 720
    pip = (f"[0:v]gblur=sigma={sigma}:steps=2[back];[1:v]scale=640:360,format=yuva420p,"
           "rotate=8*PI/180:c=none:ow=rotw(8*PI/180):oh=roth(8*PI/180)[front];"
           "[back][front]overlay=x=0.6*W-w/2:y=0.45*H-h/2,"
           + ",".join([draw("Picture in picture", 0.88, 56), draw("three", 0.12, 40, "0xffd54a"), draw("texts", 0.24, 40, "0x80d8ff")])
           + "[v]")
    trimmed = ["-ss", "1", "-t", "10", "-i", clip]
    return {
        "A": trimmed + ["-vf", draw("A title", 0.85, 64)],
        "A-plain": trimmed,
        "B": inputs + ["-filter_complex", ";".join(graph), "-map", "[o5]", "-t", "12", "-r", "30"],
        "C": trimmed + ["-t", "10", "-i", other, "-filter_complex", pip, "-map", "[v]", "-map", "0:a"],
    }


def independent_ffmpeg():
    """A newer, static ffmpeg with openh264 (Debian's has none), from the Python package imageio-ffmpeg."""
    python = os.path.join(WORK, "venv", "bin", "python")
    if not os.path.exists(python):
        print("bench: installing the Python package imageio-ffmpeg into .bench/venv", flush=True)
        subprocess.run([sys.executable, "-m", "venv", os.path.join(WORK, "venv")], check=True)
    script = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"
    found = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False)
    if found.returncode:
        subprocess.run([python, "-m", "pip", "install", "-q", "imageio-ffmpeg"], check=True)
        found = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def tree_memory(root):
    """Proportional set size of a process and its descendants, in bytes."""
    children, total = {}, 0
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                parent = int(stat.read().rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(entry))
        except (OSError, IndexError, ValueError):
            continue
    waiting = [root]
    while waiting:
        process = waiting.pop()
        waiting += children.get(process, [])
        try:
            with open(f"/proc/{process}/smaps_rollup", encoding="utf-8") as rollup:
                total += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) * 1024
        except (OSError, StopIteration):
            continue
    return total


def measure(command):
    """Runs a command; wall and CPU seconds and peak bytes of its whole process tree."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started, peak, done = time.monotonic(), 0, threading.Event()
    log = open(os.path.join(WORK, "last.log"), "w", encoding="utf-8")
    process = subprocess.Popen(command, stdout=log, stderr=log)

    def watch():
        nonlocal peak
        while not done.wait(0.1):
            peak = max(peak, tree_memory(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    wall = time.monotonic() - started
    done.set()
    watcher.join()
    # Orphans of the tree are ours to reap (we are their subreaper): their CPU counts, too.
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    log.close()
    if code:
        with open(log.name, encoding="utf-8", errors="replace") as said:
            sys.exit(f"bench: {' '.join(command)} failed:\n{said.read()[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "peak": peak}


def video_bits(path):
    """Bits a second of a film's picture."""
    said = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=size", "-of", "csv=p=0", path],
                          capture_output=True, text=True, check=True).stdout
    sizes = [int(line.strip(",")) for line in said.split() if line.strip(",").isdigit()]
    said = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path],
                          capture_output=True, text=True, check=True).stdout
    return sum(sizes) * 8 / float(said)


def psnr_y(ffmpeg, film, reference):
    """PSNR of the luma of two films, both taken for BT.709."""
    tags = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
    graph = f"[0:v]setpts=PTS-STARTPTS,{tags}[a];[1:v]setpts=PTS-STARTPTS,{tags}[b];[a][b]psnr=shortest=1"
    said = subprocess.run([ffmpeg, "-nostdin", "-hide_banner", "-i", film, *reference, "-lavfi", graph, "-f", "null", "-"],
                          capture_output=True, text=True, check=True).stderr
    return float(said.rsplit("PSNR y:", 1)[1].split()[0])


def encoder(bits):
    """openh264 at a bit rate, with the sound as ours."""
    return ["-c:v", "libopenh264", "-profile:v", "high", "-coder", "cabac", "-rc_mode", "bitrate", "-b:v", str(int(bits)),
            "-g", "60", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "160k", "-movflags", "+faststart"]


def run_case(name, ffmpeg, media, runs):
    """Ours and ffmpeg in turn; medians."""
    scene, ours, theirs = (os.path.join(WORK, f"{name}.{suffix}") for suffix in ("json", "ours.mp4", "ffmpeg.mp4"))
    stats = os.path.join(WORK, f"{name}.stats.json")
    with open(scene, "w", encoding="utf-8") as file:
        json.dump(compositions(media)[name], file)
    mine, peer, bits = [], [], None
    for turn in range(runs + 1):
        ran = measure([OURS, "render", scene, "-o", ours, "--stats", stats])
        bits = bits or video_bits(ours)
        rivalled = measure([ffmpeg, "-nostdin", "-v", "error", "-y", *peers(media)[name], *encoder(bits), theirs])
        if turn:  # the first turn warms caches on both sides
            mine.append(ran)
            peer.append(rivalled)
        print(f"bench: {name} {turn}/{runs}: ours {ran['cpu']:.2f} s CPU, ffmpeg {rivalled['cpu']:.2f} s", flush=True)
    with open(stats, encoding="utf-8") as file:
        stages = json.load(file)
    median = lambda rows, key: statistics.median(row[key] for row in rows)  # noqa: E731
    row = {"name": name, "stages": stages, "bits": bits, "peer_bits": video_bits(theirs)}
    for key in ("wall", "cpu", "peak"):
        row[key], row["peer_" + key] = median(mine, key), median(peer, key)
    row["ratios"] = [a["cpu"] / b["cpu"] for a, b in zip(mine, peer)]
    row["size"], row["peer_size"] = os.path.getsize(ours), os.path.getsize(theirs)
    if name == "A-plain":
        reference = ["-ss", "1", "-t", "10", "-i", os.path.join(media, "bench_a.mp4")]
        row["psnr"], row["peer_psnr"] = psnr_y(ffmpeg, ours, reference), psnr_y(ffmpeg, theirs, reference)
    else:
        lossless = os.path.join(WORK, f"{name}.reference.nut")
        if not os.path.exists(lossless):
            subprocess.run([ffmpeg, "-nostdin", "-v", "error", "-y", *peers(media)[name], "-an", "-c:v", "ffv1", "-pix_fmt", "yuv420p", lossless], check=True)
        row["psnr"], row["peer_psnr"] = psnr_y(ffmpeg, ours, ["-i", lossless]), psnr_y(ffmpeg, theirs, ["-i", lossless])
    return row


def floors(ffmpeg, media):
    """CPU seconds of decoding clip A alone and of encoding its raw frames alone; PSNR and bits of encoding at QP 26."""
    clip, raw = os.path.join(media, "bench_a.mp4"), os.path.join(WORK, "a.yuv")
    trimmed = ["-ss", "1", "-t", "10", "-i", clip]
    decode = measure([ffmpeg, "-nostdin", "-v", "error", *trimmed, "-an", "-f", "null", "-"])["cpu"]
    subprocess.run([ffmpeg, "-nostdin", "-v", "error", "-y", *trimmed, "-an", "-pix_fmt", "yuv420p", "-f", "rawvideo", raw], check=True)
    bits = video_bits(os.path.join(WORK, "A-plain.ours.mp4"))
    # Rate control off is QP 26 in openh264: what our default quality asks for.
    direct = os.path.join(WORK, "a.direct.mp4")
    subprocess.run([ffmpeg, "-nostdin", "-v", "error", "-y", *trimmed, "-an", "-c:v", "libopenh264", "-profile:v", "high", "-coder", "cabac",
                    "-rc_mode", "off", "-g", "60", "-pix_fmt", "yuv420p", direct], check=True)
    encode = measure([ffmpeg, "-nostdin", "-v", "error", "-y", "-f", "rawvideo", "-s", "1280x720", "-r", "30", "-i", raw,
                      *encoder(bits), os.path.join(WORK, "a.floor.mp4")])["cpu"]
    os.remove(raw)
    return decode, encode, (psnr_y(ffmpeg, direct, trimmed), video_bits(direct))


def melt_row(media):
    """CPU seconds of melt on composition A, where melt is installed."""
    if not shutil.which("melt"):
        return None
    clip, out = os.path.join(media, "bench_a.mp4"), os.path.join(WORK, "melt.mp4")
    command = ["melt", clip, "in=30", "out=329", "-attach", "dynamictext:A title", "-consumer", f"avformat:{out}", "vcodec=libx264", "preset=ultrafast", "acodec=aac"]
    return measure(command)["cpu"]


def table(rows, decode, encode, direct, melt, ffmpeg, runs):
    """The results as Markdown."""
    version = subprocess.run([ffmpeg, "-version"], capture_output=True, text=True, check=True).stdout.split()[2]
    lines = [
        "# Bench", "",
        f"`make bench` on {os.cpu_count()} cores ({platform.machine()}), software Vulkan, medians of {runs} runs after one "
        f"warm-up, each side in turn. The peer is ffmpeg {version} with openh264 at the bit rate that ours came out with. "
        "CPU and memory are those of the whole process tree, start-up included.", "",
        "A: trim and title, 720p, 10 s. A-plain: A without the title. B: six photographs with slow zooms and fades, 1080p, 12 s. "
        "C: a blurred clip behind a scaled and rotated one, three texts, 720p, 10 s.", "",
        "| | CPU s ours | CPU s ffmpeg | ratio (min–max) | wall s ours | wall s ffmpeg | peak MiB ours | peak MiB ffmpeg | Mbps ours | Mbps ffmpeg | MB ours | MB ffmpeg | PSNR-Y ours | PSNR-Y ffmpeg | frames/s |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        frames = row["stages"]["frames"]
        lines.append(
            f"| {row['name']} | {row['cpu']:.2f} | {row['peer_cpu']:.2f} | **{row['cpu'] / row['peer_cpu']:.2f}** ({min(row['ratios']):.2f}–{max(row['ratios']):.2f}) "
            f"| {row['wall']:.2f} | {row['peer_wall']:.2f} | {row['peak'] / 2**20:.0f} | {row['peer_peak'] / 2**20:.0f} "
            f"| {row['bits'] / 1e6:.2f} | {row['peer_bits'] / 1e6:.2f} | {row['size'] / 1e6:.2f} | {row['peer_size'] / 1e6:.2f} "
            f"| {row['psnr']:.2f} | {row['peer_psnr']:.2f} | {frames / row['wall']:.0f} |")
    lines += ["", "PSNR: A-plain against its source; the others against ffmpeg's own lossless rendering of the same job, so there it also "
              "counts every difference in text, blur and scaling.", "",
              f"Floors for A: decoding alone {decode:.2f} s CPU, encoding alone {encode:.2f} s CPU. openh264 fed with A's source itself "
              f"at QP 26: {direct[0]:.2f} dB at {direct[1] / 1e6:.2f} Mbps."]
    if melt:
        own = next(row["cpu"] for row in rows if row["name"] == "A")
        lines.append(f"melt on A: {melt:.2f} s CPU; ours is {own / melt:.2f} of it.")
    lines += ["", "Our time by stage, in seconds of the threads that do it (they overlap):", "", "| | " + " | ".join(rows[0]["stages"]["seconds"]) + " |",
              "|---|" + "---|" * len(rows[0]["stages"]["seconds"])]
    for row in rows:
        lines.append(f"| {row['name']} | " + " | ".join(f"{value:.2f}" for value in row["stages"]["seconds"].values()) + " |")
    return "\n".join(lines) + "\n"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--only", default="A,A-plain,B,C")
    options = options.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.makedirs(WORK, exist_ok=True)
    media, ffmpeg = os.path.join(WORK, "media"), independent_ffmpeg()
    print("bench: making the media", flush=True)
    make.make(media, [name for name in make.RECIPES if name.startswith("bench_")])
    rows = [run_case(name, ffmpeg, media, options.runs) for name in options.only.split(",")]
    text = table(rows, *floors(ffmpeg, media), melt_row(media), ffmpeg, options.runs)
    if options.only == "A,A-plain,B,C":
        with open(os.path.join(HERE, "RESULTS.md"), "w", encoding="utf-8") as file:
            file.write(text)
    print(text)


if __name__ == "__main__":
    main()
