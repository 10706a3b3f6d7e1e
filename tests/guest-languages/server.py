"""A server in Python: answers with method, path and body of a request; below /trap it raises an error."""

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import Fields, OutgoingBody, OutgoingResponse, ResponseOutparam


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request, response_out):
        path = request.path_with_query()
        if path.startswith("/trap"):
            raise ValueError("asked for")
        method = type(request.method()).__name__.removeprefix("Method_").upper()
        answer = f"Python {method} {path} ".encode() + content(request.consume())
        response = OutgoingResponse(Fields.from_list([("x-language", b"Python")]))
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            stream.blocking_write_and_flush(answer)
        OutgoingBody.finish(body, None)


def content(body):
    content = b""
    with body.stream() as stream:
        try:
            while True:
                content += stream.blocking_read(65536)
        except Err as end:
            if not isinstance(end.value, StreamError_Closed):
                raise
    return content
