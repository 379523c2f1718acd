"""DeepGTAV's protocol and its forks: frames, messages, our stamp, both ends of a connection."""
