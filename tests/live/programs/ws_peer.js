// SPDX-License-Identifier: Apache-2.0
// ws_peer.js server|client HOST PORT CERTIFICATE KEY: websockets_peer.py's part by Node's package `ws`, for NODE_PATH.
//
// Takes the same lines and prints the same objects; a server turns each message round. `ws` tells no fragments apart
// when it receives, so neither end says how many there were.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const https = require('https');
const { WebSocket, WebSocketServer } = require('ws');
const { obey, tellMessage, who } = require('./said.js');

const [role, host, port, certificate, key] = process.argv.slice(2);
const LARGEST_BYTES = 1 << 24;
const DEFLATE = {
  takeover: { threshold: 0 },
  fresh: { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
  plain: false,
};
const kept = [];

// Every message in both directions, in the order in which it was given to the package or by it.
const keep = (socket, raw, isClient) => {
  const party = who(raw, isClient);
  const add = (outgoing, kind, data, code) => kept.push({ socket, party, outgoing, kind, data, code });
  const of = (data) => Buffer.from(data);
  socket.on('message', (data, isBinary) => add(false, isBinary ? 'binary' : 'text', of(data)));
  socket.on('ping', (data) => {
    add(false, 'ping', of(data));
    add(true, 'pong', of(data)); // by itself
  });
  socket.on('pong', (data) => add(false, 'pong', of(data)));
  const sent = { add };
  socket.on('close', () => {});
  socket._receiver.on('conclude', (code, reason) => {
    add(false, 'close', of(reason), code);
    if (!sent.closed) add(true, 'close', of(reason), code); // turned round by itself
  });
  return sent;
};

const tell = () => {
  for (const { socket, party, outgoing, kind, data, code } of kept) {
    const coded = Boolean(socket.extensions) && (kind === 'text' || kind === 'binary');
    tellMessage(party, outgoing, data, {
      kind,
      close_code: code === undefined ? null : code,
      compressed: coded ? true : null,
      from_client: outgoing === party.isClient,
    });
  }
};

const runServer = () => {
  const server = https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) });
  const sockets = new WebSocketServer({ server, perMessageDeflate: { threshold: 0 }, maxPayload: LARGEST_BYTES });
  sockets.on('connection', (socket, request) => {
    const sent = keep(socket, request.socket, false);
    socket.on('message', (data, isBinary) => {
      sent.add(true, isBinary ? 'binary' : 'text', Buffer.from(data));
      socket.send(data, { binary: isBinary });
    });
  });
  server.listen(Number(port), host, () => {
    console.log('ready', server.address().port);
    process.stdin.resume();
    process.stdin.on('end', () => {
      tell();
      process.exit();
    });
  });
};

const runClient = () => {
  let socket;
  let sent;
  const once = (name) => new Promise((resolve) => socket.once(name, resolve));
  const turn = async (data, binary, pieces) => {
    const answer = once('message');
    sent.add(true, binary ? 'binary' : 'text', Buffer.from(data));
    pieces.forEach((piece, at) => socket.send(piece, { binary, fin: at === pieces.length - 1 }));
    if (Buffer.compare(Buffer.from(await answer), Buffer.from(data))) throw new Error('another answer');
  };
  const text = (size) => crypto.randomBytes(Number(size)).toString('base64').slice(0, Number(size));
  const times = async (count, make) => {
    for (let number = 0; number < Number(count); number += 1) await make();
  };
  const orders = {
    open: async (mode) => {
      const ca = fs.readFileSync(certificate);
      const options = { ca, perMessageDeflate: DEFLATE[mode], maxPayload: LARGEST_BYTES };
      socket = new WebSocket(`wss://${host}:${port}/chat?room=5`, options);
      await once('open');
      sent = keep(socket, socket._socket, true);
    },
    text: (count, size) => times(count, async () => { const data = text(size); await turn(data, false, [data]); }),
    binary: (count, size) =>
      times(count, async () => { const data = crypto.randomBytes(Number(size)); await turn(data, true, [data]); }),
    fragments: (count, size) =>
      times(count, async () => {
        const data = text(size);
        const third = Math.ceil(data.length / 3);
        await turn(data, false, [0, 1, 2].map((at) => data.slice(at * third, (at + 1) * third)));
      }),
    ping: async (word) => {
      const answer = once('pong');
      sent.add(true, 'ping', Buffer.from(word));
      socket.ping(word);
      await answer;
    },
    close: async (code, reason) => {
      const closed = once('close');
      sent.add(true, 'close', Buffer.from(reason), Number(code));
      sent.closed = true;
      socket.close(Number(code), reason);
      await closed;
    },
  };
  obey(orders, tell);
};

(role === 'server' ? runServer : runClient)();
