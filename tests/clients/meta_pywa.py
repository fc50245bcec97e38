"""pywa, unmodified, against the simulator at SIMULATOR: each answer as pywa reads it.

Its address is not to be chosen, but the `httpx.Client` that it asks by is (`session=`): one whose
transport takes what is for graph.facebook.com to the simulator."""

import os
import time

import httpx
from pywa import WhatsApp, errors, types
from pywa.types import templates as t

SIMULATOR = httpx.URL(os.environ["SIMULATOR"])
WABA, PHONE = "204411887755301", "310022446688199"
USER = "447700900123"
PNG = bytes.fromhex("89504e470d0a1a0a")


class ToTheSimulator(httpx.HTTPTransport):
    def handle_request(self, request):
        if request.url.host == "graph.facebook.com":
            request.url = request.url.copy_with(
                scheme=SIMULATOR.scheme, host=SIMULATOR.host, port=SIMULATOR.port)
            request.headers["host"] = f"{SIMULATOR.host}:{SIMULATOR.port}"
        return super().handle_request(request)


wa = WhatsApp(phone_id=PHONE, token="a token", waba_id=WABA, app_id="670000000000001",
              session=httpx.Client(transport=ToTheSimulator()))


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def messages():
    sent = wa.send_message(to=USER, text="Hi", tracker="mine")
    assert sent.id.startswith("wamid."), sent
    buttons = [types.Button(title="Yes", callback_data="y"), types.Button(title="No", callback_data="n")]
    section = types.Section(title="One", rows=[types.SectionRow(title="Row", callback_data="r")])
    ids = {
        sent.id,
        wa.send_message(to=USER, text="Choose", buttons=buttons).id,
        wa.send_message(to=USER, text="Look", buttons=types.SectionList(button_title="See", sections=[section])).id,
        wa.send_message(to=USER, text="Go", buttons=types.URLButton(title="There", url="https://example.org")).id,
        wa.send_image(to=USER, image="https://example.org/a.png", caption="A").id,
        wa.send_video(to=USER, video="https://example.org/a.mp4").id,
        wa.send_document(to=USER, document="https://example.org/a.pdf", filename="a.pdf").id,
        wa.send_audio(to=USER, audio="https://example.org/a.ogg").id,
        wa.send_sticker(to=USER, sticker="https://example.org/a.webp").id,
        wa.send_location(to=USER, latitude=51.5, longitude=-0.1, name="Here").id,
        wa.request_location(to=USER, text="Where?").id,
        wa.send_contact(to=USER, contact=types.Contact(
            name=types.Contact.Name(formatted_name="Ana B", first_name="Ana"),
            phones=[types.Contact.Phone(phone="+447700900456")])).id,
        wa.send_reaction(to=USER, emoji="👍", message_id=sent.id).id,
        wa.send_template(to=USER, name="order_ready", language=t.TemplateLanguage.ENGLISH_UK,
                         params=[t.BodyText.params("Ana", "A-1")]).id,
    }
    assert len(ids) == 14, ids


def templates():
    new = t.Template(name="shop_open", language=t.TemplateLanguage.ENGLISH_UK, category=t.TemplateCategory.UTILITY,
                     components=[t.HeaderText("Shop {{1}}", "8"), t.BodyText("Hi {{1}}, we are open.", "Ana"),
                                 t.FooterText(text="Shop"), t.Buttons(buttons=[t.QuickReplyButton(text="Thanks")])])
    made = wa.create_template(new)
    assert (made.status, made.category) == (t.TemplateStatus.PENDING, t.TemplateCategory.UTILITY), made
    error = refused(errors.WhatsAppError, lambda: wa.create_template(new))
    assert error.code == 100 and error.subcode == 2388024, error
    shown = wa.get_template(made.id)
    assert (shown.name, shown.language) == ("shop_open", t.TemplateLanguage.ENGLISH_UK), shown
    assert [type(it) for it in shown.components] == [t.HeaderText, t.BodyText, t.FooterText, t.Buttons], shown.components
    until = time.monotonic() + 20
    while wa.get_template(made.id).status != t.TemplateStatus.APPROVED:
        assert time.monotonic() < until, "it stays in review"
        time.sleep(0.05)
    found = list(wa.get_templates(name="shop_open"))
    assert [it.id for it in found] == [made.id], found
    assert list(wa.get_templates(statuses=[t.TemplateStatus.REJECTED], name="shop_open")) == []
    assert wa.update_template(made.id, new_components=[t.BodyText("Hi {{1}}, we are closed.", "Ana")]).success
    for n in range(30):
        wa.create_template(t.Template(name=f"page_{n:02}", language=t.TemplateLanguage.ENGLISH, category=t.TemplateCategory.UTILITY,
                                      components=[t.BodyText("Ready.")]))
    page = wa.get_templates(pagination=types.Pagination(limit=10))
    names = {it.name for it in page}
    while page.has_next:
        # Its own `next()` fails in this version, for templates.
        page = wa.get_templates(pagination=types.Pagination(limit=10, after=page.after))
        names |= {it.name for it in page}
    assert {f"page_{n:02}" for n in range(30)} < names, names
    assert wa.delete_template("shop_open", template_id=made.id).success
    error = refused(errors.WhatsAppError, lambda: wa.delete_template("shop_open"))
    assert error.subcode == 2593002, error


def media():
    kept = wa.upload_media(PNG, mime_type="image/png", filename="a.png")
    where = wa.get_media_url(kept.id)
    assert (where.mime_type, int(where.file_size)) == ("image/png", len(PNG)), where
    assert wa.get_media_bytes(where.url) == PNG
    assert wa.send_image(to=USER, image=kept.id).id
    assert wa.delete_media(kept.id).success
    assert refused(errors.WhatsAppError, lambda: wa.get_media_url(kept.id)).code == 803


def flows():
    made = wa.create_flow("survey", [types.FlowCategory.SURVEY])
    json = {"version": "7.2", "screens": [{"id": "END", "title": "End", "terminal": True,
            "layout": {"type": "SingleColumnLayout", "children": [{"type": "Footer", "label": "Done", "on-click-action": {"name": "complete", "payload": {}}}]}}]}
    assert wa.update_flow_json(made.id, json).success
    assert wa.update_flow_metadata(made.id, name="survey 2").success
    shown = wa.get_flow(made.id)
    assert (shown.name, shown.status) == ("survey 2", types.FlowStatus.DRAFT), shown
    assert shown.preview.url.startswith("http"), shown.preview
    assert made.id in [it.id for it in wa.get_flows()]
    asset = next(iter(wa.get_flow_assets(made.id)))
    assert asset.name == "flow.json", asset
    assert wa.publish_flow(made.id)
    assert wa.get_flow(made.id).status == types.FlowStatus.PUBLISHED
    refused(errors.WhatsAppError, lambda: wa.delete_flow(made.id))
    assert wa.deprecate_flow(made.id)
    draft = wa.create_flow("draft", [types.FlowCategory.OTHER])
    assert wa.delete_flow(draft.id)


def numbers():
    number = wa.get_business_phone_number()
    assert (number.id, number.verified_name) == (PHONE, "Simulated Shop"), number
    assert PHONE in [it.id for it in wa.get_business_phone_numbers()]
    assert wa.update_business_profile(about="We sell mugs", email="shop@example.org", websites=["https://shop.example.org"]).success
    profile = wa.get_business_profile()
    assert (profile.about, list(profile.websites)) == ("We sell mugs", ["https://shop.example.org"]), profile
    new = wa.create_phone_number(country_calling_code="44", phone_number="7700900999", verified_name="Shop 9")
    assert wa.request_verification_code(code_method="SMS", language_code="en_GB", phone_id=new.id).success
    refused(errors.WhatsAppError, lambda: wa.verify_phone_number(code="000000", phone_id=new.id))
    assert wa.deregister_phone_number().success
    assert wa.register_phone_number("212834").success


def account():
    assert wa.get_business_account().id == WABA
    assert wa.delete_waba_callback_url().success
    assert wa.delete_phone_callback_url().success


for part in (templates, messages, media, flows, numbers, account):
    part()
    print(f"pywa: {part.__name__}")
