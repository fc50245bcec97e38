// `whatsapp`, which Meta itself wrote, unmodified, against the simulator at SIMULATOR. It takes a
// host (WA_BASE_URL), always by TLS at port 443: here stands TLS in front of the simulator, and
// what is for that port goes to its own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';

const https = createRequire(import.meta.url)('https');
const to = '447700900123';

const folder = mkdtempSync(join(tmpdir(), 'twotick-'));
const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1',
  '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' });
const [key, cert] = [readFileSync(keyFile), readFileSync(certFile)];
rmSync(folder, { recursive: true });

const simulator = new URL(process.env.SIMULATOR);
const front = createServer({ key, cert }, (caller) => {
  const provider = connect(Number(simulator.port), simulator.hostname);
  caller.pipe(provider).pipe(caller);
  for (const socket of [caller, provider]) socket.on('error', () => socket.destroy());
});
await new Promise((listening) => front.listen(0, '127.0.0.1', listening));
const { request } = https;
https.request = (options) => {
  assert.deepEqual([options.hostname, options.port], ['localhost', 443]);
  return request({ ...options, port: front.address().port, ca: cert });
};

Object.assign(process.env, { NODE_ENV: 'production', WA_BASE_URL: 'localhost', CLOUD_API_VERSION: 'v25.0',
  CLOUD_API_ACCESS_TOKEN: 'a token', WA_PHONE_NUMBER_ID: '310022446688199' });
const { default: WhatsApp } = await import('whatsapp');
const wa = new WhatsApp();

const said = async (asking, status = 200) => {
  const answer = await asking;
  const body = await answer.responseBodyToJSON();
  assert.equal(answer.statusCode(), status, JSON.stringify(body));
  return body;
};

const { messages } = wa;
const link = 'https://example.org/a';
const section = { title: 'One', rows: [{ id: '1', title: 'Row' }] };
const sent = await Promise.all([
  messages.text({ body: 'Hi' }, to),
  messages.image({ link }, to),
  messages.document({ link, filename: 'a.pdf' }, to),
  messages.location({ longitude: -0.1, latitude: 51.5, name: 'Here', address: 'There' }, to),
  messages.contacts([{ name: { formatted_name: 'Ana B', first_name: 'Ana' } }], to),
  messages.interactive({ type: 'list', body: { text: 'Choose' }, action: { button: 'See', sections: [section] } }, to),
  messages.template({ name: 'order_ready', language: { policy: 'deterministic', code: 'en_GB' } }, to),
].map((asking) => said(asking)));
assert.equal(new Set(sent.map((it) => it.messages[0].id)).size, sent.length);
assert(sent.every((it) => it.contacts[0].wa_id === to && it.messaging_product === 'whatsapp'));
console.log('whatsapp: messages');

assert((await said(wa.twoStepVerification.setPin(212834))).success);
console.log('whatsapp: two-step verification');

wa.requester?.client?.clearSockets();
front.close();
process.exit(0);
