"""Reads an MCAP file by nothing but what the file says of itself."""

import json

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from mcap.reader import make_reader


def decoder(schema_name, schema_data):
    """The protobuf class of a schema."""
    files = descriptor_pb2.FileDescriptorSet.FromString(schema_data)
    pool = descriptor_pool.DescriptorPool()
    waiting = list(files.file)
    while waiting:
        known = [file for file in waiting if all(_has(pool, one) for one in file.dependency)]
        for file in known:
            pool.Add(file)
            waiting.remove(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(schema_name))


def _has(pool, name):
    try:
        return pool.FindFileByName(name) is not None
    except KeyError:
        return False


def read(path):
    """Return topic -> [(log time, message)]."""
    classes, found = {}, {}
    with path.open("rb") as file:
        for schema, channel, message in make_reader(file).iter_messages():
            if channel.message_encoding == "json":
                content = json.loads(message.data)
            else:
                cls = classes.setdefault(schema.name, decoder(schema.name, schema.data))
                content = cls.FromString(message.data)
            found.setdefault(channel.topic, []).append((message.log_time, content))
    return found
