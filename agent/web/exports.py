"""What is kept of a person, sent to a browser or a program."""

from __future__ import annotations

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from storage.lifecycle.export.package import ExportFile


class ExportResponse(StreamingResponse):
    """One file of an export, in pieces. The temporary file goes with it, also half-way.

    It is downloaded, never shown: what people wrote would be part of the page.
    """

    def __init__(self, file: ExportFile, name: str, kind: str) -> None:
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        super().__init__(file.chunks(name), 200, headers, f"{kind}; charset=utf-8")
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()
