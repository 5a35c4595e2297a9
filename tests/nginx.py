"""Debian's nginx on loopback, with TLS, before Flower: what config/nginx says is what it runs; ended by pid."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cxrnode.commands.samples import free_ports
from tests.authority import Authority
from tests.house.rooms import ROOT
from tests.peers import library

FLOWER = ROOT / "config" / "nginx" / "flower.conf"
CONFIG = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    access_log {folder}/nginx-access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        {flower}
    }}
}}
"""


@contextmanager
def running_nginx(folder: Path, flower_port: int) -> Iterator[int]:
    """One that shows the Flower at this port under /flower; its port."""
    folder.mkdir()
    shown = Authority(folder / "ca").signed("pages.example")
    (port,) = free_ports(1)
    flower = FLOWER.read_text(encoding="utf-8").replace("127.0.0.1:5555", f"127.0.0.1:{flower_port}")
    config = folder / "nginx.conf"
    told = {"folder": folder, "port": port, "certificate": shown.certificate, "key": shown.key, "flower": flower}
    config.write_text(CONFIG.format(**told), encoding="utf-8")
    command = [library("/usr/sbin/nginx", "nginx-light"), "-p", folder, "-e", folder / "nginx.log", "-c", config]
    process = subprocess.Popen(list(map(str, command)))
    try:
        give_up = time.monotonic() + 20
        while not (folder / "nginx.pid").exists():
            assert process.poll() is None, (folder / "nginx.log").read_text()
            assert time.monotonic() < give_up
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)
