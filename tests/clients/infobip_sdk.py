"""infobip-api-python-sdk (of Infobip's own developers), unmodified: against the simulator at
SIMULATOR, each answer as its models read it; and what twotick asks Infobip, as `tests/sent` and
`tests/managed` have it, held against its models of requests."""

import json
import os
import warnings

warnings.filterwarnings("ignore")

from infobip_channels.whatsapp.channel import WhatsAppChannel
from infobip_channels.whatsapp.models.body import create_template
from infobip_channels.whatsapp.models.body.audio_message import AudioMessageBody
from infobip_channels.whatsapp.models.body.buttons_message import ButtonsMessageBody
from infobip_channels.whatsapp.models.body.contact_message import ContactMessageBody
from infobip_channels.whatsapp.models.body.document_message import DocumentMessageBody
from infobip_channels.whatsapp.models.body.image_message import ImageMessageBody
from infobip_channels.whatsapp.models.body.list_message import ListMessageBody
from infobip_channels.whatsapp.models.body.location_message import LocationMessageBody
from infobip_channels.whatsapp.models.body.multi_product_message import MultiProductMessageBody
from infobip_channels.whatsapp.models.body.product_message import ProductMessageBody
from infobip_channels.whatsapp.models.body.sticker_message import StickerMessageBody
from infobip_channels.whatsapp.models.body.template_message import TemplateMessageBody
from infobip_channels.whatsapp.models.body.text_message import TextMessageBody
from infobip_channels.whatsapp.models.body.video_message import VideoMessageBody

SENDER, USER = "310022446688199", "447700900123"
wa = WhatsAppChannel.from_auth_params({"base_url": os.environ["SIMULATOR"], "api_key": "a key"})


def message(content, **more):
    return {"from": SENDER, "to": USER, "content": content, **more}


def accepted(answer):
    assert answer.status_code == 200, answer
    assert (answer.to, answer.message_count) == (USER, 1), answer
    assert answer.status.group_name == "PENDING", answer.status
    return answer.message_id


def messages():
    link = "https://example.org/a"
    assert accepted(wa.send_text_message(message({"text": "Hi"}, messageId="mine", callbackData="c"))) == "mine"
    rows = [{"id": "1", "title": "One"}]
    ids = [
        accepted(wa.send_document_message(message({"mediaUrl": link, "filename": "a.pdf"}))),
        accepted(wa.send_image_message(message({"mediaUrl": link, "caption": "A"}))),
        accepted(wa.send_audio_message(message({"mediaUrl": link}))),
        accepted(wa.send_video_message(message({"mediaUrl": link}))),
        accepted(wa.send_sticker_message(message({"mediaUrl": link}))),
        accepted(wa.send_location_message(message({"latitude": 51.5, "longitude": -0.1}))),
        accepted(wa.send_contact_message(message({"contacts": [{"name": {"firstName": "Ana", "formattedName": "Ana B"}}]}))),
        accepted(wa.send_interactive_buttons_message(message(
            {"body": {"text": "Choose"}, "action": {"buttons": [{"type": "REPLY", "id": "1", "title": "Yes"}]}}))),
        accepted(wa.send_interactive_list_message(message(
            {"body": {"text": "Choose"}, "action": {"title": "See", "sections": [{"rows": rows}]}}))),
    ]
    sent = wa.send_template_message({"bulkId": "all", "messages": [
        message({"templateName": "order_ready", "language": "en_GB", "templateData": {"body": {"placeholders": ["Ana", "A-1"]}}})]})
    assert sent.status_code == 200 and len(sent.messages) == 1, sent
    assert len({*ids, sent.messages[0].message_id}) == 10


def templates():
    # It submits by Infobip's first API, in categories that are not that one's: @infobip-api/sdk does
    # it by the second.
    made = wa.create_template({"sender": SENDER}, {
        "name": "shop_open", "language": "en_GB", "category": "MARKETING", "structure": {"body": {"text": "Open."}}})
    assert made.status_code == 400, made
    exception = made.request_error.service_exception
    assert (exception.message_id, list(exception.validation_errors)) == ("BAD_REQUEST", ["category"]), exception
    listed = wa.get_templates({"sender": SENDER})
    assert listed.status_code == 200, listed
    assert ("order_ready", "en_GB", "APPROVED") in [(it.name, it.language, it.status) for it in listed.templates]
    gone = {"sender": SENDER, "template_name": "order_ready"}
    assert wa.delete_template(gone).status_code == 204
    assert wa.delete_template(gone).status_code == 404


# What a path of tests/sent is modelled by.
MODELS = {
    "text": TextMessageBody, "image": ImageMessageBody, "audio": AudioMessageBody, "video": VideoMessageBody,
    "document": DocumentMessageBody, "sticker": StickerMessageBody, "location": LocationMessageBody,
    "contact": ContactMessageBody, "template": TemplateMessageBody, "interactive/buttons": ButtonsMessageBody,
    "interactive/list": ListMessageBody, "interactive/product": ProductMessageBody,
    "interactive/multi-product": MultiProductMessageBody,
}


def beyond(given, read, at=""):
    """Members that the models do not know, by their place; and values that they read otherwise."""
    if isinstance(given, dict):
        for name, value in given.items():
            if not isinstance(read, dict) or name not in read:
                yield f"{at}.{name}"
            else:
                yield from beyond(value, read[name], f"{at}.{name}")
    elif isinstance(given, list):
        for n, value in enumerate(given):
            yield from beyond(value, read[n], f"{at}[]")
    elif str(given) != str(getattr(read, "value", read)):
        yield f"{at} ({given!r} is {read!r})"


# What Infobip has had only since these models were written (2023): held against its published
# schema instead (tests/managed/infobip_schema.json, provider/golden.rs).
NEWER = {
    "address", "flow", "location request", "raw", "raw template", "template by place", "template with a carousel",
    "template with a coupon", "template with a flow", "template with a flow that is told nothing",
    "template with an offer", "template with products", "template with the catalog",
}
NEWER_TEMPLATES = {
    "buttons", "call permission", "carousel", "catalog", "code by one tap", "code to copy", "limited time",
    "order details of a country", "order status", "several products",
}
# The category that WhatsApp has had since then.
THEN = {"UTILITY": "TRANSACTIONAL", "AUTHENTICATION": "OTP"}


def differs(model, asked):
    """Whether the model does not take a request, or reads something else in it."""
    if model is None:
        return "no model"
    try:
        read = model(**asked)
    except ValueError as error:
        return str(error)
    return ", ".join(beyond(asked, json.loads(read.json(by_alias=True))))


def held(file, newer, of):
    asked = {name: it for name, it in json.load(open(file)).items() if "refused" not in it}
    found = {name: said for name, it in asked.items() if (said := differs(*of(it)))}
    assert found.keys() == newer, {name: found.get(name, "is known") for name in found.keys() ^ newer}
    assert len(asked) > len(newer)


def requests():
    held("tests/sent/infobip.json", NEWER,
         lambda it: (MODELS.get(it["path"].removeprefix("whatsapp/1/message/")), it["body"]))
    held("tests/managed/infobip.json", NEWER_TEMPLATES,
         lambda it: (create_template.CreateTemplate, it | {"category": THEN.get(it["category"], it["category"])}))


for part in (messages, templates, requests):
    part()
    print(f"infobip-api-python-sdk: {part.__name__}")
