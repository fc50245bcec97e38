// @infobip-api/sdk, unmodified, against the simulator at SIMULATOR, by its own `baseUrl`.
import assert from 'node:assert/strict';
import { Infobip, AuthType } from '@infobip-api/sdk';

const [from, to] = ['310022446688199', '447700900123'];
const client = (apiKey) => new Infobip({ baseUrl: process.env.SIMULATOR, apiKey, authType: AuthType.ApiKey });
const { whatsapp } = client('a key').channels;

// What is refused it gives back instead of throwing it.
const taken = (answer, status = 200) => {
  assert.equal(answer.status, status, String(answer.response?.data ? JSON.stringify(answer.response.data) : answer));
  return answer.data;
};

const parts = {
  async messages() {
    const mediaUrl = 'https://example.org/a';
    const contents = {
      text: { text: 'Hi' }, image: { mediaUrl }, audio: { mediaUrl }, video: { mediaUrl }, sticker: { mediaUrl },
      document: { mediaUrl, filename: 'a.pdf' }, location: { latitude: 51.5, longitude: -0.1 },
      contact: { contacts: [{ name: { firstName: 'Ana', formattedName: 'Ana B' } }] },
      'interactive-buttons': { body: { text: 'Choose' }, action: { buttons: [{ type: 'REPLY', id: 'y', title: 'Yes' }] } },
      'interactive-list': { body: { text: 'Choose' }, action: { title: 'See', sections: [{ rows: [{ id: '1', title: 'One' }] }] } },
    };
    const ids = new Set();
    for (const [type, content] of Object.entries(contents)) {
      const sent = taken(await whatsapp.send({ type, from, to, content }));
      assert.deepEqual([sent.to, sent.messageCount, sent.status.groupName], [to, 1, 'PENDING']);
      ids.add(sent.messageId);
    }
    const content = { templateName: 'order_ready', language: 'en_GB', templateData: { body: { placeholders: ['Ana'] } } };
    const sent = taken(await whatsapp.send({ type: 'template', messages: [{ from, to, content }, { from, to, content }] }));
    for (const message of sent.messages) ids.add(message.messageId);
    assert.equal(ids.size, Object.keys(contents).length + 2);
  },

  async templates() {
    const body = { text: 'Hi {{1}}, we are open.', examples: ['Ana'] };
    const request = { name: 'node_open', language: 'en_GB', category: 'MARKETING', structure: { body, footer: { text: 'Shop' } } };
    const made = taken(await whatsapp.template.create(from, request), 201);
    assert.deepEqual([made.name, made.status], ['node_open', 'PENDING']);
    const all = () => whatsapp.template.get(from).then((answer) => taken(answer).templates);
    assert.equal((await all()).find((it) => it.name === 'node_open').structure.body.text, body.text);
    const again = await whatsapp.template.create(from, request);
    assert.equal(again.response.status, 400);
    taken(await whatsapp.template.delete(from, 'node_open'), 204);
    assert.equal((await all()).find((it) => it.name === 'node_open'), undefined);
  },

  async media() {
    const kept = await fetch(`${process.env.SIMULATOR}/_control/media`, {
      method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ provider: 'infobip', mime_type: 'text/plain', text: 'Hi' }),
    });
    const { id } = await kept.json();
    const head = await whatsapp.media.metadata(from, id);
    taken(head);
    assert.deepEqual([head.headers['content-type'], head.headers['content-length']], ['text/plain', '2']);
    const stream = taken(await whatsapp.media.download(from, id));
    assert.equal((await stream.toArray()).join(''), 'Hi');
    taken(await whatsapp.media.delete(from, `${process.env.SIMULATOR}/whatsapp/1/senders/${from}/media/${id}`), 204);
    assert.equal((await whatsapp.media.metadata(from, id)).response.status, 404);
  },
};

for (const [name, part] of Object.entries(parts)) {
  await part();
  console.log(`@infobip-api/sdk: ${name}`);
}
