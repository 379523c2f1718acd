"""Decodes H.264 packets as a viewer does that knows nothing but them."""

import av


def decoded(packets):
    """Return the pictures of packets in Annex B, (H, W, 3) uint8 each."""
    codec = av.CodecContext.create("h264", "r")
    frames = [frame for data in packets for frame in codec.decode(av.Packet(data))]
    frames += codec.decode(None)
    return [
        frame.reformat(format="rgb24", src_colorspace="ITU709", src_color_range="MPEG").to_ndarray()
        for frame in frames
    ]
