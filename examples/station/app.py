"""An inspection station in the browser. Run with: python app.py BUNDLE [RECEIPT]  Needs fastapi and uvicorn.

Drop a picture on http://127.0.0.1:8000 to see its label, its confidence and how long it took. With a receipt
as baseline the page shows how the last pictures compare with it, and /metrics is there for Prometheus.
"""

import sys
import time
from dataclasses import asdict
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, PlainTextResponse

from edgetl_runtime import Monitor, PictureError, Prediction, Receipt, Session

MAX_UPLOAD_BYTES = 64 * 2**20
PAGE = Path(__file__).with_name("page.html")


def station(session: Session, monitor: Monitor | None = None) -> FastAPI:
    """Return the app around an opened session."""
    app = FastAPI(title="edgetl station")

    @app.get("/", response_class=HTMLResponse)
    def page() -> str:
        return PAGE.read_text(encoding="utf-8")

    @app.get("/about")
    def about() -> dict[str, object]:
        variant = session.variant
        return {
            "name": session.manifest.name,
            "variant": variant.name,
            "device": session.device,
            "classes": session.labels,
            "bundle": session.bundle.id,
            "megabytes": session.manifest.size_bytes(variant) / 1e6,
        }

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, object]:
        data = await _body(request)
        started = time.perf_counter()
        try:
            found: Prediction = await run_in_threadpool(session.predict, data)
        except PictureError as error:
            raise HTTPException(422, f"The picture {error.reason}. {error.remedy}".strip()) from None
        milliseconds = 1000 * (time.perf_counter() - started)
        if monitor is not None:
            monitor.observe(found)
        shares = zip(session.labels, found.probabilities.tolist(), strict=True)
        return {
            "label": found.label,
            "confidence": found.confidence,
            "milliseconds": milliseconds,
            "probabilities": dict(sorted(shares, key=lambda item: -item[1])[:8]),
        }

    @app.get("/monitor")
    def snapshot() -> dict[str, object] | None:
        if monitor is None:
            return None
        found = monitor.snapshot()
        return {**asdict(found), "alarms": found.alarms}

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> str:
        if monitor is None:
            raise HTTPException(404, "Start the station with a receipt to monitor against.")
        return monitor.to_prometheus()

    return app


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_UPLOAD_BYTES:
            raise HTTPException(413, f"A picture may have {MAX_UPLOAD_BYTES // 2**20} MiB at most.")
    return bytes(data)


if __name__ == "__main__":
    import uvicorn

    baseline = Monitor(Receipt.read(sys.argv[2]), window=200) if len(sys.argv) > 2 else None
    with Session.open(sys.argv[1]) as opened:
        uvicorn.run(station(opened, baseline), host="127.0.0.1", port=8000, log_level="warning")
