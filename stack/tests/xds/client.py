"""gRPC in Python, as a server, as a client that reads xDS itself, and as one that asks for client status.

    client.py serve NAME...         a server a name, on free ports; prints {NAME: PORT}
    client.py call TARGET           calls TARGET until it is killed; prints what became of each 30 calls, and its xDS
                                    configuration (a ClientStatusResponse, in hexadecimal) whenever that has changed
    client.py ask ADDRESS METHOD    one unary call with an empty request; prints the answer in hexadecimal
"""

import collections
import json
import sys
import threading
import time
from concurrent import futures

import grpc
from grpc._cython import cygrpc  # what the package grpcio-csds is made of

SERVICE, METHOD = "stack.test.Names", "GetName"
WINDOW = 30
PAUSE_SECONDS = 0.005
# Longer than any call on loopback takes, even on a machine with other things to do.
CALL_SECONDS = 10


def say(**words):
    print(json.dumps(words), flush=True)


def serve(names):
    # Kept until the process ends: a server that nobody holds stops.
    servers = {}
    ports = {}
    for name in names:
        handler = grpc.unary_unary_rpc_method_handler(lambda _, context, name=name: name.encode())
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        ports[name] = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers[name] = server
    say(ports=ports)
    threading.Event().wait()


def call(target):
    get_name = grpc.insecure_channel(target).unary_unary(f"/{SERVICE}/{METHOD}")
    shown = None
    while True:
        answers, failures = collections.Counter(), collections.Counter()
        for _ in range(WINDOW):
            try:
                answers[get_name(b"", timeout=CALL_SECONDS).decode()] += 1
            except grpc.RpcError as error:
                failures[error.code().name] += 1
            time.sleep(PAUSE_SECONDS)
        say(answers=answers, failures=failures)
        config = cygrpc.dump_xds_configs()
        if config != shown:
            shown = config
            say(config=config.hex())


def ask(address, method):
    with grpc.insecure_channel(address) as channel:
        answer = channel.unary_unary(method)(b"", timeout=CALL_SECONDS)
    say(answer=answer.hex())


if __name__ == "__main__":
    mode, arguments = sys.argv[1], sys.argv[2:]
    {"serve": serve, "call": lambda a: call(*a), "ask": lambda a: ask(*a)}[mode](arguments)
