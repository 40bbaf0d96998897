"""Answers for each request on standard input, one JSON object a line, what a receiver in Python makes of it."""

import hashlib
import hmac
import json
import sys
from datetime import datetime, timezone

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def refusal(webhook, body, headers):
    try:
        webhook.verify(body, headers)
        return ""
    except WebhookVerificationError as error:
        return str(error)


for line in sys.stdin.buffer:
    case = json.loads(line)
    body, headers = case["body"], case["headers"]
    webhook = Webhook(case["standard_form"])
    signed_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), tz=timezone.utc)
    answer = {
        "data_signature": hmac.new(case["text"].encode(), case["data"].encode(), hashlib.sha256).hexdigest(),
        "message_signature": webhook.sign(headers["webhook-id"], signed_at, body),
        "refusal": refusal(webhook, body, headers),
        "refusal_of_another_body": refusal(webhook, body + " ", headers),
    }
    sys.stdout.write(json.dumps(answer) + "\n")
