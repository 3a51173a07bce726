"""S3 from memory on this machine, for the demo and for measuring from a bucket to a store.

Apart from the stack's processes, which need psutil: the demo's extra brings moto alone.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from labeling.errors import BadConfiguration


@contextmanager
def local_s3() -> Iterator[str]:
    """Serve S3 from memory on 127.0.0.1 while the block runs, point the AWS variables at it, and give its URL.

    Raises:
        BadConfiguration: moto's server is not installed.
    """
    try:
        from moto.server import ThreadedMotoServer
    except ImportError as error:
        raise BadConfiguration("the demo needs moto's server: pip install 'samurai-labeling[demo]'") from error
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield variables["AWS_ENDPOINT_URL"]
    finally:
        server.stop()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
