"""HTTP exchanges for people and for other programs: text, JSON and HAR 1.2.

What proves who somebody is stays hidden unless it is asked for.
"""

from __future__ import annotations

import base64
import datetime
import urllib.parse
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

from .http1 import Exchange, Headers, Message, Request, Response
from .network import HOST_PID
from .taps import seconds

SECRET = frozenset(("authorization", "proxy-authorization", "cookie", "set-cookie"))
HIDDEN = "(hidden; --show-secrets shows it)"
_OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}


@dataclass(frozen=True)
class Style:
    """How much is shown."""

    secrets: bool = False
    body_max: int = 1 << 16


def decoded(message: Message) -> bytes | None:
    """Return a body without its content coding; None if that is none of gzip and deflate."""
    coding = (message.header("content-encoding") or "identity").lower().strip()
    if coding == "identity" or not message.body:
        return message.body
    for bits in {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}.get(coding, ()):
        unpack = zlib.decompressobj(bits)
        try:
            return unpack.decompress(message.body) + unpack.flush()
        except zlib.error:
            continue
    return None


def body_text(message: Message, style: Style) -> str:
    """Return a body for people."""
    data = decoded(message)
    if data is None:
        return f"({message.header('content-encoding')}, {len(message.body)} B)"
    shown = data[: style.body_max]
    rest = f"\n(+{len(data) - len(shown)} B)" if len(data) > len(shown) else ""
    try:
        text = shown.decode()
    except UnicodeDecodeError as error:
        if not rest or error.start < len(shown) - 4:  # not a character that was cut
            return f"(binary, {len(data)} B)"
        text = shown[: error.start].decode()
    return text + rest if "\0" not in text else f"(binary, {len(data)} B)"


def headers_shown(headers: Headers, style: Style) -> Headers:
    """Return headers without secrets."""
    if style.secrets:
        return headers
    return [(name, HIDDEN if name.lower() in SECRET else value) for name, value in headers]


def who(pids: list[int]) -> str:
    """Say which processes these are."""
    return "+".join("host" if pid == HOST_PID else str(pid) for pid in pids) or "?"


def line(exchange: Exchange) -> str:
    """Return an exchange as one line."""
    request, response, connection = exchange.request, exchange.response, exchange.connection
    ends = f"{connection.client} > {connection.server}"
    answer = f"{response.status} {response.reason}".rstrip() if response else "-"
    took = f" {(response.last.now_ns - request.first.now_ns) / 1e6:.3f}ms" if response else ""
    more = f" ({exchange.error})" if exchange.error else ""
    if exchange.upgrade:
        more += f" (then {exchange.upgrade}: {len(exchange.after[0])} B >, {len(exchange.after[1])} B <)"
    pids = f"[{who(request.pids)} > {who(response.pids if response else [])}]"
    at = seconds(request.first.now_ns)
    number = f"#{exchange.number} " if exchange.number else ""
    return f"{at} {number}HTTP {ends} {pids}: {request.method} {request.target} => {answer}{took}{more}"


def text(exchange: Exchange, style: Style) -> str:
    """Return an exchange in full, the request behind ">" and the answers behind "<"."""
    request = exchange.request
    lines = [line(exchange)]
    lines += _lines(">", f"{request.method} {request.target} {request.version}", request, style)
    responses = [*exchange.interim, *filter(None, [exchange.response])]
    for response in responses:
        head = f"{response.version} {response.status} {response.reason}".rstrip()
        lines += _lines("<", head, response, style)
    for sign, data in zip("><", exchange.after, strict=True):
        if exchange.upgrade == "websocket":
            frames = Counter(websocket_frames(data))
            shown = ", ".join(f"{count} {name}" for name, count in frames.items())
            lines += [f"{sign} (websocket: {shown or 'nothing'})"]
    return "\n".join(lines) + "\n"


def _lines(sign: str, head: str, message: Message, style: Style) -> list[str]:
    lines = [head]
    lines += [f"{name}: {value}" for name, value in headers_shown(message.headers, style)]
    lines.append("")
    if message.body:
        lines += body_text(message, style).splitlines()
    lines += [f"{name}: {value}" for name, value in headers_shown(message.trailers, style)]
    return [f"{sign} {one}".rstrip() for one in lines]


def websocket_frames(data: bytes) -> list[str]:
    """Name the frames of a WebSocket stream (RFC 6455); what was cut does not count."""
    at, names = 0, []
    while at + 2 <= len(data):
        size, begin = data[at + 1] & 127, at + 2
        if size > 125:
            wide = 2 if size == 126 else 8
            size, begin = int.from_bytes(data[begin : begin + wide], "big"), begin + wide
        begin += 4 if data[at + 1] & 128 else 0
        if begin + size > len(data):
            break
        names.append(_OPCODES.get(data[at] & 15, "unknown"))
        at = begin + size
    return names


# ---- For programs --------------------------------------------------------------------------------
def as_json(exchange: Exchange, style: Style) -> dict[str, Any]:
    """Return an exchange as plain data."""
    connection, request = exchange.connection, exchange.request
    return {
        "number": exchange.number,
        "connection": connection.number,
        "client": connection.client,
        "server": connection.server,
        "request": {
            "method": request.method,
            "target": request.target,
            **_message(request, request.version, style),
        },
        "interim": [_response(one, style) for one in exchange.interim],
        "response": _response(exchange.response, style) if exchange.response else None,
        "error": exchange.error,
        "upgrade": exchange.upgrade,
        "after": [len(data) for data in exchange.after],
    }


def _response(response: Response, style: Style) -> dict[str, Any]:
    head = {"status": response.status, "reason": response.reason}
    return head | _message(response, response.version, style)


def _message(message: Message, version: str, style: Style) -> dict[str, Any]:
    return {
        "version": version,
        "headers": headers_shown(message.headers, style),
        "trailers": headers_shown(message.trailers, style),
        "body": _content(message, style),
        "bytes": message.size,
        "pids": message.pids,
        "fd": message.first.fd,
        "first": {"tick": message.first.tick, "ns": message.first.now_ns},
        "last": {"tick": message.last.tick, "ns": message.last.now_ns},
    }


def _content(message: Message, style: Style) -> dict[str, Any]:
    data = decoded(message)
    data = message.body if data is None else data
    shown = data[: style.body_max]
    try:
        return {"size": len(data), "text": shown.decode()}
    except UnicodeDecodeError:
        return {"size": len(data), "base64": base64.b64encode(shown).decode()}


def har(exchanges: list[Exchange], style: Style, version: str) -> dict[str, Any]:
    """Return exchanges as an HTTP Archive 1.2."""
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "ebb", "version": version},
            "entries": [_har_entry(exchange, style) for exchange in exchanges],
        }
    }


def _har_entry(exchange: Exchange, style: Style) -> dict[str, Any]:
    request, response = exchange.request, exchange.response
    send = request.last.now_ns - request.first.now_ns
    wait = max(0, response.first.now_ns - request.last.now_ns) if response else 0
    receive = response.last.now_ns - response.first.now_ns if response else 0
    began = datetime.datetime.fromtimestamp(request.first.real_ns / 1e9, datetime.UTC)
    entry: dict[str, Any] = {
        "startedDateTime": began.isoformat(timespec="milliseconds"),
        "time": (send + wait + receive) / 1e6,
        "request": _har_request(exchange, request, style),
        "response": _har_response(response, style),
        "cache": {},
        "timings": {"send": send / 1e6, "wait": wait / 1e6, "receive": receive / 1e6},
        "serverIPAddress": exchange.connection.server.rpartition(":")[0].strip("[]"),
        "connection": str(exchange.connection.number),
    }
    if exchange.error:
        entry["comment"] = exchange.error
    return entry


def _har_request(exchange: Exchange, request: Request, style: Style) -> dict[str, Any]:
    target = request.target
    if not urllib.parse.urlsplit(target).scheme:
        target = f"http://{request.header('host') or exchange.connection.server}{target}"
    query = urllib.parse.parse_qsl(urllib.parse.urlsplit(target).query, keep_blank_values=True)
    made: dict[str, Any] = {
        "method": request.method,
        "url": target,
        **_har_message(request, request.version, style),
        "queryString": [{"name": name, "value": value} for name, value in query],
    }
    if request.body:
        kind = request.header("content-type") or "application/octet-stream"
        made["postData"] = {"mimeType": kind, "text": body_text(request, style)}
    return made


def _har_response(response: Response | None, style: Style) -> dict[str, Any]:
    if response is None:
        content: dict[str, Any] = {"size": 0, "mimeType": "x-unknown"}
        return {
            "status": 0, "statusText": "", "httpVersion": "", "cookies": [], "headers": [],
            "content": content, "redirectURL": "", "headersSize": -1, "bodySize": -1,
        }  # fmt: skip
    found = _content(response, style)
    content = {"size": found["size"], "mimeType": response.header("content-type") or "x-unknown"}
    if "base64" in found:
        content |= {"text": found["base64"], "encoding": "base64"}
    else:
        content["text"] = found["text"]
    return {
        "status": response.status,
        "statusText": response.reason,
        **_har_message(response, response.version, style),
        "content": content,
        "redirectURL": response.header("location") or "",
    }


def _har_message(message: Message, version: str, style: Style) -> dict[str, Any]:
    headers = headers_shown(message.headers, style)
    return {
        "httpVersion": version,
        "cookies": [],
        "headers": [{"name": name, "value": value} for name, value in headers],
        "headersSize": -1,
        "bodySize": len(message.body),
    }
