"""What Envoy says by itself, in the words and the shape of the edge (`edge/http/problem`)."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

KIND = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: Envoy's flags of what happened, or its status, and what is said instead."""

    status: int
    error: str
    detail: str
    flags: tuple[str, ...] = ()
    retry: bool = False
    """Whether asking again in a second makes sense."""


DOWN = Reply(503, "gateway_down", "the gateway cannot say whether this may be let through", (), True)
REPLIES = (
    Reply(502, "origin_unreachable", "The service behind this gateway takes no connections.", ("UF",), True),
    Reply(504, "origin_timeout", "The service behind this gateway did not answer in time.", ("UT", "SI")),
    Reply(502, "origin_closed", "The service behind this gateway closed the connection before it answered.",
          ("UC", "UR", "URX")),
    Reply(502, "origin_answer_malformed", "The service behind this gateway gave an answer that is not HTTP.", ("UPE",)),
    Reply(503, "overloaded", "The service behind this gateway has as many requests as it can take.", ("UO",), True),
    Reply(503, "no_origin", "No service is set up behind this route.", ("UH", "NC")),
    Reply(400, "malformed", "this request is not well-formed"),
    Reply(403, "forbidden", "this may not be asked"),
    Reply(404, "no_route", "nothing is here"),
    Reply(408, "too_slow", "the request did not come in time"),
    Reply(413, "too_large", "the body is too long"),
    Reply(431, "head_too_long", "the head is too long, or there are too many headers"),
    DOWN,
)  # fmt: skip


def local_reply_config() -> dict[str, Any]:
    """Give the part of Envoy's configuration. What the gateway itself has refused goes through as it was said."""
    return {
        "mappers": [
            _mapper(DOWN, _unasked()),
            _refused(),
            *(_mapper(each, _filter(each)) for each in REPLIES),
        ]
    }


def _unasked() -> dict[str, Any]:
    """The gateway was not reached, or says 503, which Envoy takes for the same."""
    expression = {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        "expression": "response.code_details == 'ext_authz_error'",
    }
    return {
        "extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": expression}
    }


def _refused() -> dict[str, Any]:
    said = {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}, "content_type": KIND}
    return {"filter": {"response_flag_filter": {"flags": ["UAEX"]}}, "body_format_override": said}


def _filter(reply: Reply) -> dict[str, Any]:
    if reply.flags:
        return {"response_flag_filter": {"flags": list(reply.flags)}}
    status = {"default_value": reply.status, "runtime_key": "mainstay.unset"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": status}}}


def _mapper(reply: Reply, found: dict[str, Any]) -> dict[str, Any]:
    mapper = {"filter": found, "status_code": reply.status, "body_format_override": _body(reply)}
    if reply.retry:
        wait = {"header": {"key": "retry-after", "value": "1"}, "append_action": "ADD_IF_ABSENT"}
        mapper["headers_to_add"] = [wait]
    return mapper


def _body(reply: Reply) -> dict[str, Any]:
    said = {
        "title": HTTPStatus(reply.status).phrase, "status": reply.status, "error": reply.error,
        "detail": reply.detail, "request_id": "%REQ(X-REQUEST-ID)%",
    }  # fmt: skip
    return {
        "json_format": said,
        "content_type": KIND,
        "omit_empty_values": True,
        "json_format_options": {"sort_properties": False},
    }
