"""Receive Fovea's webhooks: check the signature, answer at once, then work.

pip install fastapi uvicorn standardwebhooks
FOVEA_WEBHOOK_SECRET=whsec_... uvicorn --app-dir examples webhook_receiver:app --port 9000
"""

import json
import os

from fastapi import BackgroundTasks, FastAPI, HTTPException, Request
from standardwebhooks import Webhook, WebhookVerificationError

app = FastAPI()
signed = Webhook(os.environ["FOVEA_WEBHOOK_SECRET"])
handled: set[str] = set()  # a message may come twice under one id; a real receiver keeps these in its database


def work_on(message: dict[str, object]) -> None:
    print(json.dumps(message), flush=True)


@app.post("/hook", status_code=204)
async def hook(request: Request, later: BackgroundTasks) -> None:
    try:
        message = signed.verify(await request.body(), dict(request.headers))
    except WebhookVerificationError as error:
        raise HTTPException(401, f"not signed with our secret: {error}") from error
    if (webhook_id := request.headers["webhook-id"]) not in handled:
        handled.add(webhook_id)
        later.add_task(work_on, message)
