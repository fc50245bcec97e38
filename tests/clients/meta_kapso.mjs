// @kapso/whatsapp-cloud-api, unmodified, against the simulator at SIMULATOR, by its own `baseUrl`:
// each answer as it reads it.
import assert from 'node:assert/strict';
import { WhatsAppClient } from '@kapso/whatsapp-cloud-api';

const [businessAccountId, phoneNumberId, to] = ['204411887755301', '310022446688199', '447700900123'];
const wa = new WhatsAppClient({ baseUrl: process.env.SIMULATOR, accessToken: 'a token', graphVersion: 'v25.0' });

const refused = async (doing, code) => {
  const error = await doing.then(() => assert.fail('it was not refused'), (error) => error);
  assert.equal(error.name, 'GraphApiError');
  if (code) assert.equal(error.code, code, String(error));
  return error;
};

const parts = {
  async messages() {
    const whom = { phoneNumberId, to };
    const sent = [
      await wa.messages.sendText({ ...whom, body: 'Hi' }),
      await wa.messages.sendImage({ ...whom, image: { link: 'https://example.org/a.png' } }),
      await wa.messages.sendDocument({ ...whom, document: { link: 'https://example.org/a.pdf', filename: 'a.pdf' } }),
      await wa.messages.sendLocation({ ...whom, location: { latitude: 51.5, longitude: -0.1 } }),
      await wa.messages.sendInteractiveButtons({ ...whom, bodyText: 'Choose', buttons: [{ id: 'y', title: 'Yes' }] }),
      await wa.messages.sendTemplate({ ...whom, template: { name: 'order_ready', language: { code: 'en_GB' } } }),
    ];
    for (const answer of sent) {
      assert.equal(answer.messagingProduct, 'whatsapp');
      assert.deepEqual(answer.contacts.map((it) => it.waId), [to]);
    }
    assert.equal(new Set(sent.map((it) => it.messages[0].id)).size, sent.length);
  },

  async templates() {
    const body = { type: 'BODY', text: 'We are open, {{1}}.', example: { body_text: [['Ana']] } };
    const content = { businessAccountId, language: 'en_GB', category: 'UTILITY', components: [body] };
    const made = await wa.templates.create({ ...content, name: 'kapso_open' });
    assert.deepEqual([made.status, made.category], ['PENDING', 'UTILITY']);
    await refused(wa.templates.create({ ...content, name: 'kapso_open' }), 100);
    for (let n = 10; n < 15; n++) await wa.templates.create({ ...content, name: `kapso_${n}` });
    const names = [];
    let after;
    do {
      const page = await wa.templates.list({ businessAccountId, limit: 2, after, category: 'UTILITY' });
      names.push(...page.data.map((it) => it.name));
      after = page.paging?.next && page.paging.cursors.after;
    } while (after);
    for (let n = 10; n < 15; n++) assert(names.includes(`kapso_${n}`), names.join());
    assert((await wa.templates.delete({ businessAccountId, name: 'kapso_open' })).success);
    assert.deepEqual((await wa.templates.list({ businessAccountId, name: 'kapso_open' })).data, []);
  },

  async media() {
    const bytes = new TextEncoder().encode('%PDF-1.7');
    const file = new Blob([bytes], { type: 'application/pdf' });
    const kept = await wa.media.upload({ phoneNumberId, type: 'application/pdf', file, fileName: 'a.pdf' });
    const known = await wa.media.get({ mediaId: kept.id });
    assert.deepEqual([known.mimeType, Number(known.fileSize)], ['application/pdf', bytes.length]);
    const got = await wa.media.download({ mediaId: kept.id, auth: 'always' });
    assert.deepEqual(new Uint8Array(got), bytes);
    assert((await wa.media.delete({ mediaId: kept.id, phoneNumberId })).success);
    await refused(wa.media.get({ mediaId: kept.id }), 803);
  },

  async numbers() {
    const { businessProfile } = wa.phoneNumbers;
    assert((await businessProfile.update({ phoneNumberId, about: 'We sell cups', websites: ['https://cups.example.org'] })).success);
    const [profile] = (await businessProfile.get({ phoneNumberId })).data;
    assert.deepEqual([profile.about, profile.websites], ['We sell cups', ['https://cups.example.org']]);
    const number = { phoneNumberId: '310022446688200' };
    assert((await wa.phoneNumbers.deregister(number)).success);
    assert((await wa.phoneNumbers.register({ ...number, pin: '212834' })).success);
    await refused(wa.phoneNumbers.verifyCode({ ...number, code: '000000' }));
  },

  async flows() {
    const screen = { id: 'END', title: 'End', terminal: true, layout: { type: 'SingleColumnLayout', children: [] } };
    const made = await wa.flows.create({ wabaId: businessAccountId, name: 'kapso survey', categories: ['SURVEY'] });
    const put = await wa.flows.updateAsset({ flowId: made.id, json: { version: '7.2', screens: [screen] } });
    assert(put.success && !put.validationErrors?.length);
    const { preview } = await wa.flows.preview({ flowId: made.id });
    assert(preview.previewUrl.startsWith('https://') && preview.expiresAt, JSON.stringify(preview));
    assert((await wa.flows.publish({ flowId: made.id })).success);
    const { data } = await wa.flows.list({ wabaId: businessAccountId });
    assert.equal(data.find((it) => it.id === made.id).status, 'PUBLISHED');
    assert((await wa.flows.deprecate({ flowId: made.id })).success);
  },
};

for (const [name, part] of Object.entries(parts)) {
  await part();
  console.log(`@kapso/whatsapp-cloud-api: ${name}`);
}
