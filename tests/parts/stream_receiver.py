"""Takes one pushed stream as a server would, and prints what its pictures show, as JSON.

python stream_receiver.py URL PICTURES [OPTION=VALUE ...]
"""

import json
import sys

import av


def main(url: str, count: int, *options: str) -> None:
    chosen = dict(option.split("=") for option in options)
    pictures = []
    with av.open(url, options=chosen, timeout=30) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            rgb = frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
            pictures.append([float(frame.time or 0), *rgb[:8, :8].mean((0, 1)).tolist()])
            if len(pictures) == count:
                break
    size = [stream.codec_context.width, stream.codec_context.height]
    print(json.dumps({"codec": stream.codec_context.name, "size": size, "pictures": pictures}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
